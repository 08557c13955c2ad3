"""The lists of your own data sets: which clips a split has, with their captions."""

from __future__ import annotations

import csv
import io
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
    """

    files: list[str] = field(default_factory=list)
    captions: list[list[str]] = field(default_factory=list)
    durations: list[float | None] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    starts: list[float | None] = field(default_factory=list)
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


def read_csv(store: Store, path: str) -> SetList:
    """Reads a list in the format of Clotho's or AudioCaps' own.

    Raises:
        SetError: a row has no file or no caption.
    """
    listed = SetList()
    for row in _csv_rows(store, path):
        file = _csv_file(row)
        captions = [row[column].strip() for column in CAPTION_COLUMNS if (row.get(column) or "").strip()]
        if file is None or not captions:
            raise SetError(
                f"{store.describe(path)}: a row has no file_name (or youtube_id) or no caption: {dict(row)}"
            )
        listed.add(file, captions, start=_start(row))
    return listed


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
        captions = [[text for column in columns if (text := entry.get(column))] for entry in entries]
        if not all(captions):
            raise SetError(f"{store.describe(path)}: {files[captions.index([])]!r} has no caption")
        durations = [entry.get("duration") for entry in entries]
        ids = [None if (own_id := entry.get("id")) is None else str(own_id) for entry in entries]
        if len(set(files)) == len(files):
            return SetList(files, captions, durations, ids, [None] * len(files))
        listed = SetList()
        for row in zip(files, captions, durations, ids, strict=True):
            listed.add(*row)
    return listed


def _csv_rows(store: Store, path: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(store.read_bytes(path).decode("utf-8-sig", "replace")))


def _csv_file(row: Mapping[str, str]) -> str | None:
    return row.get("file_name") or (f"Y{row['youtube_id']}.wav" if row.get("youtube_id") else None)


def _start(row: Mapping[str, str]) -> float | None:
    try:
        return float(row.get("start_time") or "")
    except ValueError:
        return None


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
