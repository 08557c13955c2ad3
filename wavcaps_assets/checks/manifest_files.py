"""Manifests as people have them: Parquet, or the JSON of the released WavCaps; a file or a folder."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.checks.caption_set import COLUMNS, CaptionSet, Counted
from wavcaps_assets.checks.figures import Example

# Where a clip's id, its captions and its raw text may stand; the first that is there counts.
ID_COLUMNS = ("clip_id", "id")
CAPTION_COLUMNS = ("caption", *(f"caption_{number}" for number in range(1, 6)))
TEXT_COLUMNS = ("text", "description", "title")
WANTED = frozenset({*ID_COLUMNS, *CAPTION_COLUMNS, *TEXT_COLUMNS, "source"})
# The released files, and the folders that they stand in.
RELEASED_NAMES = {
    "fsd_final": "freesound",
    "bbc_final": "bbc_sound_effects",
    "sb_final": "soundbible",
    "as_final": "audioset_sl",
    "freesound": "freesound",
    "bbc_sound_effects": "bbc_sound_effects",
    "soundbible": "soundbible",
    "audioset_sl": "audioset_sl",
}
SUFFIXES = (".parquet", ".json")
DROPPED_SUFFIX = ".dropped.parquet"
BATCH = 10_000
SHOWN_CHARS = 80
# More sources than these are no sources: each is measured by itself.
MOST_SOURCES = 100
# Of a source's name (characters).
LONGEST_SOURCE = 100
# What JSON and Parquet have in place of text, as people say it.
KINDS = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}

Row = Mapping[str, Any]


class UnusableManifest(ValueError):
    """What was given is no manifest; says why, and what was there instead."""


def read_manifest(path: Path, dropped: Path | None = None) -> CaptionSet:
    """The captions of a file, or of all Parquet and JSON files in a folder and below it.

    A row whose caption is no text, and a row whose clip was there before, are counted; the second
    is kept. The further captions of a clip (`caption_2`, ...) get an id of their own.

    Args:
        dropped: a file or a folder of `tables.DROPPED`, the clips that stages 2 and 3 dropped.

    Raises:
        UnusableManifest: nothing is there, it cannot be read, columns are missing, or it has no rows.
    """
    reader = _Reader()
    for file in _files(path):
        rows = _parquet_rows(file) if file.suffix.lower() == ".parquet" else _json_rows(file)
        reader.add(file, rows)
    if not reader.read:
        raise UnusableManifest(f"{path} has no rows")
    lost = None if dropped is None else _dropped(dropped)
    return CaptionSet(reader.table(), reader.read, reader.unreadable, reader.repeated, lost)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise UnusableManifest(f"{path} is neither {' nor '.join(SUFFIXES)}")
        return [path]
    if not path.is_dir():
        raise UnusableManifest(f"there is no {path}")
    found = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
    # What a stage set aside stands beside its table, and is no manifest.
    found = [file for file in found if not file.name.endswith(DROPPED_SUFFIX)]
    if not found:
        raise UnusableManifest(f"no {' and no '.join(SUFFIXES)} file is in {path}")
    return found


class _Reader:
    """Collects rows of several files, and what is wrong with them."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.unreadable, self.repeated = Counted(), Counted()
        self._seen: set[tuple[str, str]] = set()
        self._batches: list[pa.RecordBatch] = []

    def add(self, file: Path, rows: Iterator[Row]) -> None:
        pending: list[dict[str, str | None]] = []
        source = RELEASED_NAMES.get(file.stem.lower()) or RELEASED_NAMES.get(
            file.parent.name.lower(), file.stem
        )
        for number, row in enumerate(rows, 1):
            of_row = _text(row.get("source")) or source
            self._know(of_row, f"{file} row {number}")
            pending += self._captions(row, of_row, f"{file.name} row {number}")
            if len(pending) >= BATCH:
                self._batches.append(pa.RecordBatch.from_pylist(pending, COLUMNS))
                pending = []
        self._batches.append(pa.RecordBatch.from_pylist(pending, COLUMNS))

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self._batches, COLUMNS)

    def _know(self, source: str, where: str) -> None:
        if source in self.read:
            return
        if len(source) > LONGEST_SOURCE or len(self.read) == MOST_SOURCES:
            raise UnusableManifest(
                f"{where}: {source[:SHOWN_CHARS]!r} is no source, or there are more than {MOST_SOURCES} of "
                "them: the column `source` says from which site a clip is, such as freesound; leave it out "
                "where that is not known"
            )

    def _captions(self, row: Row, source: str, where: str) -> Iterator[dict[str, str | None]]:
        given = next((row[name] for name in ID_COLUMNS if row.get(name) is not None), None)
        clip_id = str(given) if type(given) is int else _text(given)
        captions = [row[name] for name in CAPTION_COLUMNS if name in row]
        # Of five captions some clips have fewer; a clip with none is another matter.
        captions = [caption for caption in captions if caption is not None] or captions[:1] or [None]
        name = clip_id or where
        if (source, name) in self._seen:
            self.repeated.add(source, Example(name, str(captions[0])[:SHOWN_CHARS], where))
        self._seen.add((source, name))
        text = next((found for found in (_text(row.get(name)) for name in TEXT_COLUMNS) if found), None)
        for number, caption in enumerate(captions, 1):
            self.read[source] += 1
            readable = _text(caption)
            if clip_id is None or readable is None or not readable.strip():
                problem = _id_problem(given) if clip_id is None else _problem(caption)
                self.unreadable.add(source, Example(name, str(caption)[:SHOWN_CHARS], problem))
            else:
                key = clip_id if number == 1 else f"{clip_id}#{number}"
                yield {"clip_id": key, "source": source, "caption": readable, "text": text}


def _text(value: object) -> str | None:
    """A value that is text, and can be written down as such."""
    if not isinstance(value, str):
        return None
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return value


def _id_problem(given: object) -> str:
    if given is None:
        return "the row has no id"
    return "characters in its id that are no text" if isinstance(given, str) else f"its id is {_kind(given)}"


def _problem(caption: object) -> str:
    if caption is None:
        return "no caption"
    if isinstance(caption, str):
        return "characters that are no text (lone surrogates)" if caption.strip() else "an empty caption"
    return f"the caption is {_kind(caption)}, not text"


def _kind(value: object) -> str:
    return KINDS.get(type(value), f"a {type(value).__name__}")


def _parquet_rows(file: Path) -> Iterator[Row]:
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        _require(names, file)
        for batch in parquet.iter_batches(BATCH, columns=[name for name in names if name in WANTED]):
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UnusableManifest(f"{file} cannot be read as Parquet: {error}") from error


def _json_rows(file: Path) -> Iterator[Row]:
    try:
        # Bytes that are no UTF-8 spoil their own row, not the file.
        content = json.loads(
            file.read_bytes().decode("utf-8-sig", "surrogateescape"), object_hook=_wanted_only
        )
    except (OSError, ValueError, RecursionError) as error:
        lines = (
            "; it may be JSON Lines, an object a line: make it one list" if "Extra data" in str(error) else ""
        )
        raise UnusableManifest(f"{file} cannot be read as JSON: {error}{lines}") from error
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise UnusableManifest(f'{file} has no list of clips: neither {{"data": [...]}} nor [...]')
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UnusableManifest(
                f"{file}: row {number} is {'text' if isinstance(row, str) else _kind(row)}, not an object"
            )
    if rows:
        _require(set(chain.from_iterable(rows)), file)
    yield from rows


def _wanted_only(read: dict[str, Any]) -> dict[str, Any]:
    """What is looked at of a clip: a list of 262,300 is little then. Of what is no clip, all."""
    if not (any(name in read for name in ID_COLUMNS) and any(name in read for name in CAPTION_COLUMNS)):
        return read
    return {name: value for name, value in read.items() if name in WANTED}


def _require(names: Iterable[str], file: Path) -> None:
    there = sorted(names)
    problems = [
        f"no column {' or '.join(wanted)}{_meant(wanted, there)}"
        for wanted in (ID_COLUMNS, CAPTION_COLUMNS[:2])
        if not set(wanted) & set(there)
    ]
    if problems:
        raise UnusableManifest(f"{file} has {' and '.join(problems)}; it has {', '.join(there) or 'none'}")


def _meant(wanted: Sequence[str], there: Sequence[str]) -> str:
    close = [found for name in wanted for found in difflib.get_close_matches(name, there)]
    return f" (is it {close[0]!r}?)" if close else ""


def _dropped(path: Path) -> Counter[str]:
    files = [path] if path.is_file() else sorted(path.rglob(f"*{DROPPED_SUFFIX}"))
    if not files:
        raise UnusableManifest(f"no table of dropped clips is at {path}")
    lost: Counter[str] = Counter()
    for file in files:
        try:
            lost.update(pq.read_table(file, columns=["source"], partitioning=None)[0].to_pylist())
        except (OSError, pa.ArrowException) as error:
            raise UnusableManifest(f"{file} is no table of dropped clips: {error}") from error
    return lost
