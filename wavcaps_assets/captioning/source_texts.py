"""What a source's clips give a model to read: each text cleaned, empty and foreign ones set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Any, NamedTuple

import pyarrow as pa

from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.captioning.texts import AUDIOSET, clean, clip_text, first_sentence
from wavcaps_assets.rules.languages import foreign_languages
from wavcaps_assets.tables import FILTERED_CLIPS
from wavcaps_assets.tables.stage import drop

STAGE = "llm_captions"
# Rows that are Python objects at the same time: all of a source's would take gigabytes.
ROWS = 20_000


class ClipText(NamedTuple):
    """A clip with a text.

    Attributes:
        text: what it says of itself.
        question: what the model is given of that.
    """

    clip_id: str
    source: str
    text: str
    question: str


@dataclass(frozen=True)
class SourceTexts:
    """The clips that have a text, and the others.

    Attributes:
        clips: in the table's order.
        dropped: the clips that are set aside as `empty_text` or `foreign_text`.
    """

    clips: list[ClipText] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)

    @property
    def questions(self) -> list[str]:
        """What the model is given, each once."""
        return list(dict.fromkeys(clip.question for clip in self.clips))


def read_texts(clips: pa.Table, source: str, settings: CaptioningSettings) -> SourceTexts:
    """Reads the texts of a source's clips.

    Args:
        clips: `tables.FILTERED_CLIPS`.
        source: the source's name.
    """
    found = SourceTexts()
    columns = ["clip_id", "source", *dict.fromkeys((*settings.text_from, *settings.added))]
    for batch in FILTERED_CLIPS.check(clips).select(columns).to_batches(max_chunksize=ROWS):
        rows = batch.to_pylist()
        texts = [clip_text(row, settings.text_from, settings.added, settings.max_text_chars) for row in rows]
        languages = _foreign(texts) if settings.english_only and source != AUDIOSET else {}
        for row, text in zip(rows, texts, strict=True):
            if not text:
                _drop(found, row, "empty_text", "it has no text")
            elif language := languages.get(text):
                _drop(found, row, "foreign_text", f"{language}: {text[:80]}")
            else:
                put = _question(text, settings)
                found.clips.append(ClipText(row["clip_id"], intern(row["source"]), text, put))
    return found


def _drop(found: SourceTexts, row: Mapping[str, Any], reason: str, detail: str) -> None:
    found.dropped.append(drop(row["clip_id"], row["source"], STAGE, reason, detail))


def _foreign(texts: Sequence[str]) -> dict[str, str | None]:
    """The language of each text; None where it may be English."""
    once = list(dict.fromkeys(texts))
    return dict(zip(once, foreign_languages(once), strict=True))


def _question(text: str, settings: CaptioningSettings) -> str:
    """What the model is given of a text."""
    if settings.first_sentence_only and not text.startswith("["):
        text = first_sentence(text, settings.max_text_chars) or text
    return clean(text, settings.max_text_chars)
