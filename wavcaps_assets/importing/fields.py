"""What a row of a set says about its clip, under the names that the formats have for it.

The names are those of the released WavCaps (title, description, author, href, id, duration, tags, file_name),
of LAION's tars (`text`, `tag`, `original_data`), of `tables.MANIFEST`, and of lists in CSV.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

from wavcaps_assets.checks.manifest_files import captions_of
from wavcaps_assets.checks.manifest_formats import CAPTION_COLUMNS, EVENT_FIELDS, ID_COLUMNS
from wavcaps_assets.sources.base import MAX_TEXT_CHARS, SAFE_ID, clean, seconds, web_url
from wavcaps_assets.sources.folders import safe_id
from wavcaps_assets.tables.imported import IMPORTED_CLIPS

# Fields with a text, by the column of `tables.IMPORTED_CLIPS`; the first that is not empty is used.
TEXTS = {
    "title": ("title",),
    "description": ("description", "raw_description", "text"),
    "author": ("author", "username"),
    "licence": ("licence", "license", "licence_id"),
    "recording": ("recording",),
    "gen_ai_preference": ("gen_ai_preference",),
    "model": ("model",),
    "prompt_version": ("prompt_version",),
}
PAGES = ("page_url", "href", "url")
TAGS = ("tags", "tag")
DURATIONS = ("duration_s", "duration")
OTHER_CAPTIONS = "other_captions"
# The path of a clip's audio in the set. The released files have a placeholder in `audio`.
PATHS = ("audio_path", "audio", "file", "file_name", "path")
PLACEHOLDERS = frozenset({"", "wav_path"})
FREESOUND = "freesound"
# The released file of BBC Sound Effects has its categories as Python shows a list.
CATEGORY = "category"
NESTED = "original_data"
FIELDS = frozenset(
    {name for names in TEXTS.values() for name in names}
    | {*PAGES, *TAGS, *DURATIONS, *PATHS, *ID_COLUMNS, *CAPTION_COLUMNS, OTHER_CAPTIONS, NESTED}
    | {"source", "source_id", "events", "start_s", "synthetic", CATEGORY}
)
QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
# The pages that `href` of the released files is relative to.
SITES = {FREESOUND: "https://freesound.org/", "soundbible": "https://soundbible.com/"}
VIDEO_FILE = re.compile(r"Y([A-Za-z0-9_-]{11})\.(?:wav|flac)")
# What an exported `text` or a title may be.
NO_TEXT = frozenset({"", "nan", "None", "null"})


class BadRow(ValueError):
    """A row is of no clip. The message says why."""


def clip_of(row: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A row of `tables.IMPORTED_CLIPS`, without its audio.

    Args:
        row: of any format; `FIELDS` are read.
        source: the source of its clip.

    Raises:
        BadRow: it has no usable id.
    """
    said = with_nested(row)
    source_id = id_of(said, source)
    clip: dict[str, Any] = {name: _text(said, names) for name, names in TEXTS.items()}
    if source == FREESOUND and not clip["title"]:
        # The released file of FreeSound has a sound's title there.
        clip["title"] = _text(said, ("file_name",))
    clip |= {
        "clip_id": f"{source}-{source_id}",
        "source": source,
        "source_id": source_id,
        "captions": _captions(said),
        "tags": _tags(said),
        "events": _events(said.get("events")),
        "start_s": seconds(said.get("start_s")),
        "page_url": _page(said, source, source_id),
        "duration_s": next((found for name in DURATIONS if (found := seconds(said.get(name)))), None),
        "synthetic": said["synthetic"] if isinstance(said.get("synthetic"), bool) else None,
        "audio": None,
        "problem": None,
    }
    assert clip.keys() == {*IMPORTED_CLIPS.arrow.names}
    return clip


def with_nested(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row with the fields of its `original_data`, where it has none of the name itself."""
    nested = row.get(NESTED)
    return {**nested, **row} if isinstance(nested, Mapping) else row


def id_of(row: Mapping[str, Any], source: str) -> str:
    """A clip's id at its source.

    An AudioSet clip of the released files has its video's id, since the release lost its start time.

    Raises:
        BadRow: there is none.
    """
    given = next((row[name] for name in ("source_id", *ID_COLUMNS) if row.get(name) is not None), None)
    if isinstance(given, float) and math.isfinite(given) and given.is_integer():
        # A table with an empty cell makes a column of numbers one of floats.
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise BadRow(
            "it has no id" if given is None else f"its id is {given!r:.60}, and not text or a number"
        )
    text = clean(str(given).strip()) or ""
    if video := VIDEO_FILE.fullmatch(text):
        return video[1]
    text = text.removeprefix(f"{source}-")
    if SAFE_ID.fullmatch(text):
        return text
    made = safe_id(text) if text else ""
    if not SAFE_ID.fullmatch(made):
        raise BadRow(f"its id, {text!r:.60}, has no letter or digit")
    return made


def paths_of(row: Mapping[str, Any]) -> list[str]:
    """The paths of its audio that a row names."""
    found = []
    for name in PATHS:
        value = row.get(name)
        value = value.get("path") if isinstance(value, Mapping) else value
        if isinstance(value, str) and value not in PLACEHOLDERS:
            found.append(value)
    return found


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and (text := (clean(value) or "").strip()) not in NO_TEXT:
            return text
    return None


def _captions(row: Mapping[str, Any]) -> list[str]:
    given = captions_of(row)
    others = row.get(OTHER_CAPTIONS)
    further = others if isinstance(others, list) else []
    given = [*given, *(one.get("text") if isinstance(one, Mapping) else one for one in further)]
    texts = (clean(one) for one in given if isinstance(one, str))
    return list(dict.fromkeys(text.strip() for text in texts if text and text.strip()))


def _tags(row: Mapping[str, Any]) -> list[str]:
    value = next((row[name] for name in TAGS if row.get(name)), ())
    given = value.split(";") if isinstance(value, str) else value
    category = row.get(CATEGORY)
    if not given and isinstance(category, str) and category.startswith("["):
        given = [one or other for one, other in QUOTED.findall(category[:MAX_TEXT_CHARS])]
    if not isinstance(given, list | tuple):
        return []
    tags = (clean(tag) for tag in given if isinstance(tag, str))
    return [tag.strip() for tag in tags if tag and tag.strip()]


def _events(value: object) -> list[dict[str, Any]]:
    events = []
    for event in value if isinstance(value, list) else ():
        fields = event if isinstance(event, Mapping) else {}
        onset, offset = seconds(fields.get(EVENT_FIELDS[0])), seconds(fields.get(EVENT_FIELDS[1]))
        label = clean(fields.get(EVENT_FIELDS[2])) if isinstance(fields.get(EVENT_FIELDS[2]), str) else None
        if onset is None or offset is None or not label:
            return []
        events.append(dict(zip(EVENT_FIELDS, (onset, offset, label[:MAX_TEXT_CHARS]), strict=True)))
    return events


def _page(row: Mapping[str, Any], source: str, source_id: str) -> str | None:
    for name in PAGES:
        value = row.get(name)
        if not isinstance(value, str) or not value:
            continue
        if page := web_url(value):
            return page
        if name == "href" and source in SITES and (page := web_url(_joined(SITES[source], value))):
            return page
    # By the page, a clip is known as one whose author is asked about generative models, under any name.
    return f"{SITES[FREESOUND]}s/{source_id}/" if source == FREESOUND and source_id.isdecimal() else None


def _joined(site: str, link: str) -> str:
    try:
        page = urljoin(site, link)
    except ValueError:
        return ""
    # A link such as `//other.example` would lead to another site.
    return page if page.startswith(site) else ""
