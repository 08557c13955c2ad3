"""Reads manifests as people have them: one file, or a folder of shards, sources or a released set."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.checks.caption_set import COLUMNS, CaptionSet, Counted
from wavcaps_assets.checks.figures import Example
from wavcaps_assets.checks.manifest_formats import (
    BATCH,
    CAPTION_COLUMNS,
    EVENT_COLUMN,
    EVENT_FIELDS,
    ID_COLUMNS,
    SUFFIXES,
    TEXT_COLUMNS,
    Row,
    UnusableManifest,
    kind_of,
    rows_of,
    suffix_of,
)

# The sources of the released files, and of the folders that they are in.
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
# Files in a folder that are not manifests: descriptions of a set on the Hub and of an export, and lists of
# excluded clips.
NOT_MANIFESTS = re.compile(
    r"(?:dataset_infos?|dataset_dict|state|export|sizes|croissant|training-content-summary)\.json"
    r"|attributions\.csv|blacklist_.*\.json",
    re.IGNORECASE,
)
# As an export names the file of a source that the release does not have.
FINAL = "_final"
# A part of the release that is in another file of it too.
REPEATS = {"fsd_final_2s.json": "fsd_final.json"}
DROPPED_SUFFIX = ".dropped.parquet"
# "train-00003-of-00120", "part-7", "captions_12": the name of a shard.
SHARD = re.compile(r"[-_. ]*(?:\d+(?:[-_ ]*of[-_ ]*\d+)?)$", re.IGNORECASE)
SOURCE_FOLDER = re.compile(r"source=(.+)", re.IGNORECASE)
SHOWN_CHARS = 80
# More names than this are not sources: each source is measured by itself.
MOST_SOURCES = 100
# Characters of a source's name.
LONGEST_SOURCE = 100


def read_manifest(path: Path, dropped: Path | None = None) -> CaptionSet:
    """The captions of a file, or of all manifest files in a folder and its subfolders.

    A clip's source is in the column `source`. If a file has none, it is a folder `source=NAME`, a name of the
    released files, or the file's name without the number of a shard.

    A row whose caption is not text, and a row whose clip already has a row, are counted; the second kind is
    kept. The further captions of a clip (`caption_2`, or in a list) get their own id.

    Args:
        dropped: a file or a folder of `tables.DROPPED`, the clips that stages 2 and 3 dropped.

    Raises:
        UnusableManifest: nothing is there, it cannot be read, columns are missing, or it has no rows.
    """
    reader = _Reader()
    files = manifest_files(path)
    for file, source in zip(files, sources_of(files), strict=True):
        reader.add(file, source, rows_of(file))
    if not reader.read:
        raise UnusableManifest(f"{path} has no rows")
    lost = None if dropped is None else _dropped(dropped)
    return CaptionSet(reader.table(), reader.read, reader.unreadable, reader.repeated, lost)


def manifest_files(path: Path) -> list[Path]:
    """The file, or all manifest files of a folder and its subfolders.

    Raises:
        UnusableManifest: there is none.
    """
    if path.is_file():
        if not suffix_of(path):
            raise UnusableManifest(f"{path} has another format: the name must end with {', '.join(SUFFIXES)}")
        return [path]
    if not path.is_dir():
        raise UnusableManifest(f"{path} does not exist")
    found = [file for file in walk(path) if file.is_file() and _is_manifest(file)]
    if not found:
        raise UnusableManifest(f"{path} has no file that ends with {', '.join(SUFFIXES)}")
    return found


def walk(folder: Path) -> list[Path]:
    """The files in a folder and its subfolders, sorted, without hidden ones.

    Links to folders are followed, but no folder is read twice. A dot hides caches, such as those of the Hub.

    Raises:
        UnusableManifest: a folder cannot be read, so that some of the files would be missing.
    """

    def refuse(error: OSError) -> None:
        raise UnusableManifest(f"{error.filename} cannot be read: {error.strerror}") from error

    read, found = set[tuple[int, int]](), []
    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        place = Path(root)
        status = place.stat()
        if (status.st_dev, status.st_ino) in read:
            folders.clear()
            continue
        read.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [place / name for name in files if not name.startswith((".", "~$"))]
    return sorted(found)


def _is_manifest(file: Path) -> bool:
    # Tables of dropped clips are next to the tables of a stage.
    if file.name.endswith(DROPPED_SUFFIX) or NOT_MANIFESTS.fullmatch(file.name):
        return False
    whole = REPEATS.get(file.name.lower())
    return suffix_of(file) != "" and not (whole and file.with_name(whole).is_file())


def sources_of(files: Sequence[Path]) -> list[str]:
    """The source of each file, for rows without the column `source`."""
    names = [_source_of(file) for file in files]
    by_folder: dict[Path, set[str]] = {}
    for file, name in zip(files, names, strict=True):
        by_folder.setdefault(file.parent, set()).add(name)
    return [
        # Files with this many names are the shards of one set, named by hashes or the like.
        name if len(by_folder[file.parent]) <= MOST_SOURCES else file.parent.name or name
        for file, name in zip(files, names, strict=True)
    ]


def _source_of(file: Path) -> str:
    for part in reversed(file.parts[:-1]):
        if (named := SOURCE_FOLDER.fullmatch(part)) is not None:
            return named[1]
    stem = file.name[: len(file.name) - len(suffix_of(file) or file.suffix)]
    if stem == f"{file.parent.name}{FINAL}" and stem.lower() not in RELEASED_NAMES:
        return file.parent.name
    shard = SHARD.sub("", stem) or file.parent.name or stem
    for name in (stem, shard, file.parent.name):
        if name.lower() in RELEASED_NAMES:
            return RELEASED_NAMES[name.lower()]
    return shard


class _Reader:
    """Collects the rows of several files, and counts faulty ones."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.unreadable, self.repeated = Counted(), Counted()
        self._known: set[tuple[str, str]] = set()
        self._batches: list[pa.RecordBatch] = []

    def add(self, file: Path, source: str, rows: Iterator[Row]) -> None:
        pending: list[dict[str, Any]] = []
        for number, row in enumerate(rows, 1):
            of_row = _text(row.get("source")) or source
            self._check_source(of_row, f"{file} row {number}")
            pending += self._captions(row, of_row, f"{file.name} row {number}")
            if len(pending) >= BATCH:
                self._batches.append(pa.RecordBatch.from_pylist(pending, COLUMNS))
                pending = []
        self._batches.append(pa.RecordBatch.from_pylist(pending, COLUMNS))

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self._batches, COLUMNS)

    def _check_source(self, source: str, where: str) -> None:
        if source in self.read:
            return
        if len(source) > LONGEST_SOURCE or len(self.read) == MOST_SOURCES:
            raise UnusableManifest(
                f"{where}: {source[:SHOWN_CHARS]!r} is not a source, or there are more than {MOST_SOURCES}. "
                "The column `source` says from which site a clip is, such as freesound; leave it out if that "
                "is unknown"
            )

    def _captions(self, row: Row, source: str, where: str) -> Iterator[dict[str, Any]]:
        given = next((row[name] for name in ID_COLUMNS if row.get(name) is not None), None)
        clip_id = str(given) if type(given) is int else _text(given)
        captions = captions_of(row)
        name = clip_id or where
        if (source, name) in self._known:
            self.repeated.add(source, Example(name, str(captions[0])[:SHOWN_CHARS], where))
        self._known.add((source, name))
        text = next((found for found in (_text(row.get(name)) for name in TEXT_COLUMNS) if found), None)
        events = _events_of(row)
        for number, caption in enumerate(captions, 1):
            self.read[source] += 1
            readable = _text(caption)
            if clip_id is None or readable is None or not readable.strip():
                problem = _id_problem(given) if clip_id is None else _problem(caption)
                self.unreadable.add(source, Example(name, str(caption)[:SHOWN_CHARS], problem))
            else:
                key = clip_id if number == 1 else f"{clip_id}#{number}"
                yield {"clip_id": key, "source": source, "caption": readable, "text": text, "events": events}


def captions_of(row: Mapping[str, object]) -> list[object]:
    """The captions of a row, at least one; None for a missing caption."""
    given: list[object] = []
    for name in CAPTION_COLUMNS:
        value = row.get(name)
        given += value if isinstance(value, list) else [value] if name in row else []
    # Some clips have fewer than five captions. A clip without any counts as unreadable.
    return [caption for caption in given if caption is not None] or [None]


def _events_of(row: Row) -> list[Mapping[str, object]] | None:
    """The labelled events of a row; None if it has none, or if they have another form."""
    given = row.get(EVENT_COLUMN)
    if not isinstance(given, list):
        return None
    events = [_event(event) for event in given]
    return [event for event in events if event is not None] if None not in events else None


def _event(given: object) -> Mapping[str, object] | None:
    if not isinstance(given, Mapping):
        return None
    onset, offset, label = (given.get(name) for name in EVENT_FIELDS)
    times = all(isinstance(time, int | float) and not isinstance(time, bool) for time in (onset, offset))
    return {name: given[name] for name in EVENT_FIELDS} if times and _text(label) is not None else None


def _text(value: object) -> str | None:
    """A value that is text and can be stored; else None."""
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
    return (
        "characters in its id that are not text" if isinstance(given, str) else f"its id is {kind_of(given)}"
    )


def _problem(caption: object) -> str:
    if caption is None:
        return "no caption"
    if isinstance(caption, str):
        return "characters that are not text (lone surrogates)" if caption.strip() else "an empty caption"
    return f"the caption is {kind_of(caption)}, not text"


def _dropped(path: Path) -> Counter[str]:
    files = [path] if path.is_file() else [one for one in walk(path) if one.name.endswith(DROPPED_SUFFIX)]
    if not files:
        raise UnusableManifest(f"{path} has no table of dropped clips")
    lost: Counter[str] = Counter()
    for file in files:
        try:
            if "source" not in pq.read_schema(file).names:
                raise UnusableManifest(f"{file} is not a table of dropped clips: it has no column source")
            lost.update(pq.read_table(file, columns=["source"], partitioning=None)[0].to_pylist())
        except (OSError, pa.ArrowException) as error:
            raise UnusableManifest(f"{file} is not a table of dropped clips: {error}") from error
    return lost
