"""The lists of your own data sets: which clips a split has, with their captions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from wavcaps_assets.store.storage import Store

CAPTION_COLUMNS = ("caption", *(f"caption_{number}" for number in range(1, 6)))


class SetError(ValueError):
    """One of your own data sets is missing, or does not have the expected format."""


@dataclass
class SetList:
    """The list of a split. The attributes are columns: an entry for each clip, in the list's order.

    Attributes:
        files: the names of the audio files, each once.
        captions: of each clip, at least one.
        durations: in s; None: the list does not say.
        ids: the `id` of each clip in a JSON file; None: the list has none.
        starts: where each clip starts in its recording (s); None: the list does not say.
        notes: what was left out or is unusual, a sentence each. This is no column.
    """

    files: list[str] = field(default_factory=list)
    captions: list[list[str]] = field(default_factory=list)
    durations: list[float | None] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    starts: list[float | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def add(
        self,
        file: str,
        captions: Sequence[str],
        duration: float | None = None,
        own_id: str | None = None,
        start: float | None = None,
    ) -> None:
        """Adds a clip, or further captions of one: in AudioCaps' own lists, each line is a caption."""
        place = self._places.setdefault(file, len(self.files))
        if place < len(self.files):
            self.captions[place].extend(captions)
            return
        self.files.append(file)
        self.captions.append(list(captions))
        self.durations.append(duration)
        self.ids.append(own_id)
        self.starts.append(start)

    def start_of(self, file: str) -> float | None:
        """Where a clip that was added starts."""
        return self.starts[self._places[file]]


def read_json(store: Store, path: str) -> SetList:
    """Reads a list in the format of WavCaps' own JSON files.

    Raises:
        SetError: it does not have this format.
    """
    with _named_errors(store, path):
        entries = json.loads(store.read_bytes(path))["data"]
        there = set[str]().union(*entries)
        columns = [column for column in CAPTION_COLUMNS if column in there]
        files = [_json_file(entry) for entry in entries]
        texts = [[entry[column] for column in columns if entry.get(column) is not None] for entry in entries]
        captions = [[text for text in of_clip if text.strip()] for of_clip in texts]
        if not all(captions):
            raise SetError(f"{store.describe(path)}: {files[captions.index([])]!r} has no caption")
        durations = [entry.get("duration") for entry in entries]
        ids = [None if (own_id := entry.get("id")) is None else str(own_id) for entry in entries]
        notes = blank_notes(sum(map(len, texts)) - sum(map(len, captions)), path)
        if len(set(files)) == len(files):
            return SetList(files, captions, durations, ids, [None] * len(files), notes)
        listed = SetList(notes=notes)
        for row in zip(files, captions, durations, ids, strict=True):
            listed.add(*row)
    return listed


def blank_notes(blank: int, path: str) -> list[str]:
    """What a list says of its captions without a character; nothing, if there are none."""
    return [f"{blank:,} captions of {path.rpartition('/')[2]} are empty and left out."] if blank else []


def _json_file(entry: Mapping[str, Any]) -> str:
    name = str(entry["audio"])
    return name.replace("\\", "/").rpartition("/")[2] if "/" in name or "\\" in name else name


@contextmanager
def _named_errors(store: Store, path: str) -> Iterator[None]:
    """Names the file where its content is not a list."""
    try:
        yield
    except SetError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SetError(
            f"{store.describe(path)} does not have the format of WavCaps' JSON files: an object with `data`, "
            f"a list of objects with `audio` and `caption` ({type(error).__name__}: {error})"
        ) from error
