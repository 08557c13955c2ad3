"""What the page shows for a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from wavcaps_training.evaluation.encoder import QueryError
from wavcaps_training.search.index import Hit, SearchIndex
from wavcaps_training.search.ratings import QueryKind
from wavcaps_training.search.sounds import Sound


@dataclass(frozen=True)
class Results:
    """The results of a query.

    Attributes:
        kind: what was searched with.
        query: the text, the clip_id, or the SHA-256 of a sound.
        title: the heading of the list.
        hits: the results, the best first.
        clip: the clip that was searched with, to listen to; None: something else was.
    """

    kind: QueryKind
    query: str
    title: str
    hits: Sequence[Hit]
    clip: Hit | None = None

    @property
    def captions(self) -> bool:
        """Whether the results are captions, and not clips."""
        return self.kind is not QueryKind.TEXT


def results_for(
    index: SearchIndex, asked: Mapping[str, str], sounds: Mapping[str, Sound], k: int
) -> Results | None:
    """The results of the parameters of a request; None: it asks for nothing.

    Args:
        index: what is searched.
        asked: `q`, `like` or `sound`.
        sounds: those that were uploaded, by their SHA-256.
        k: how many results.

    Raises:
        QueryError: the query is empty or too long, or there is no such clip or sound.
    """
    if "like" in asked:
        clip_id = asked["like"]
        hits = index.captions_of_clip(clip_id, k)
        clip = Hit(0, 1.0, index.clip(index.row_of(clip_id)))
        return Results(QueryKind.CLIP, clip_id, "Captions that fit this clip", hits, clip)
    if "sound" in asked:
        sound = sounds.get(asked["sound"])
        if sound is None:
            raise QueryError("this sound is not remembered any more: upload it again")
        title = f"Captions that fit your sound of {sound.duration_s:.1f} s"
        return Results(QueryKind.SOUND, sound.sha256, title, index.captions_of_sound(sound.vector, k))
    if "q" in asked:
        text = " ".join(asked["q"].split())
        return Results(QueryKind.TEXT, text, f"Clips for “{text}”", index.by_text(text, k))
    return None


def web_link(url: str | None) -> str:
    """An address of the web; empty for anything else, such as a script."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return ""
    return url or "" if parts.scheme in {"http", "https"} and parts.netloc else ""
