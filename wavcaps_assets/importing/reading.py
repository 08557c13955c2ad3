"""Reads a set: the released WavCaps, LAION's tars, a Parquet folder of the Hub, our exports, or one list."""

from __future__ import annotations

import io
import json
import logging
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from wavcaps_assets.benchmark_sets.tars import AUDIO_ENDINGS, MAX_TEXT_BYTES, TarError, tar_members
from wavcaps_assets.checks.manifest_files import manifest_files, sources_of, walk
from wavcaps_assets.checks.manifest_formats import (
    CAPTION_COLUMNS,
    PARQUET,
    UnusableManifest,
    Wanted,
    rows_of,
    suffix_of,
)
from wavcaps_assets.exports.description import DESCRIPTION, ExportDescription
from wavcaps_assets.exports.journal import UNFINISHED
from wavcaps_assets.importing.audio_index import AudioIndex
from wavcaps_assets.importing.duckdb_rows import DUCKDB, duckdb_rows
from wavcaps_assets.importing.fields import FIELDS, BadRow, clip_of, paths_of, with_nested
from wavcaps_assets.sources.imported import NAME
from wavcaps_assets.sources.packed_audio import of_cell, of_tar

logger = logging.getLogger(__name__)

TAR = ".tar"
# In LAION's tars, the captions.
TAR_CAPTIONS = "text"
CELLS = "audio"
WANTED = Wanted(FIELDS, captions=False)
# The audio itself is not read before it is needed.
WITHOUT_CELLS = Wanted(FIELDS - {CELLS}, captions=False)
EXAMPLES = 3
WITHOUT_CAPTION, WITHOUT_DESCRIPTION = "clips without a caption", "clips without a description"


class UnusableSet(ValueError):
    """A file or folder is not a set that can be read. The message says why."""


@dataclass
class Notes:
    """What a person should know of a set.

    Attributes:
        problems: how often each was found.
        examples: where, for the first of each.
        unused_audio: audio files that no row asked for.
        contested: the places of audio that clips of two sources have the name of.
    """

    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    unused_audio: int = 0
    contested: set[str] = field(default_factory=set)

    def add(self, problem: str, where: str) -> None:
        self.problems[problem] += 1
        found = self.examples.setdefault(problem, [])
        if len(found) < EXAMPLES:
            found.append(where)


@dataclass(frozen=True)
class SetFiles:
    """The files of a set.

    Attributes:
        root: the folder that the places of its audio are relative to.
        lists: tars, or lists of clips, each with the source of rows that do not name one.
    """

    root: Path
    lists: tuple[tuple[Path, str], ...]


def find_set(path: Path, audio: Path | None = None, source: str | None = None) -> SetFiles:
    """The files of a set.

    Args:
        path: a tar, a list (Parquet, JSON, JSON Lines, CSV, an exported DuckDB file), or a folder of them. A
            folder with tars is one of tars; other lists in it are not read.
        audio: the folder of the audio, if it is another one.
        source: the source of rows that do not name one; None: by the names of the files.

    Raises:
        UnusableSet: there are no such files, a folder of audio is given for tars, or an export of this
            project is not complete.
    """
    _require_complete(path)
    if path.is_file() and path.suffix == TAR:
        files = [path]
    else:
        there = [file for file in walk(path) if file.is_file()] if path.is_dir() else [path]
        packed = [[file for file in there if file.suffix == suffix] for suffix in (TAR, DUCKDB)]
        try:
            files = packed[0] or packed[1] or manifest_files(path)
        except UnusableManifest as error:
            raise UnusableSet(f"{error}, and no .tar") from error
    if audio is not None and files[0].suffix == TAR:
        raise UnusableSet("the audio of tars is in them: leave out the folder of audio")
    if audio is not None and not audio.is_dir():
        raise UnusableSet(f"{audio} is no folder")
    root = (audio or (path if path.is_dir() else path.parent)).resolve()
    sources = [source] * len(files) if source else sources_of(files)
    return SetFiles(root, tuple(zip(files, map(source_name, sources), strict=True)))


def _require_complete(folder: Path) -> None:
    """A part of an export looks like a smaller set. Audio that is missing is said of each clip later."""
    if (folder / UNFINISHED).is_dir():
        raise UnusableSet(f"the export in {folder} is not finished: make it again, which completes it")
    try:
        described = ExportDescription.model_validate_json((folder / DESCRIPTION).read_bytes())
    except (OSError, ValidationError):
        # It is no export, or somebody else's file of this name.
        return
    lists = [
        file.name for file in described.files if file.name.endswith((TAR, PARQUET, DUCKDB, "_final.json"))
    ]
    missing = [name for name in lists if not (folder / name).is_file()]
    if missing:
        raise UnusableSet(
            f"{len(missing)} of {len(lists)} lists of the export in {folder} are missing, such as "
            f"{missing[0]!r}: copy it again. If you want this part of it only, remove its {DESCRIPTION}"
        )


def source_name(name: str) -> str:
    """A source's name as clip ids have it: lower-case letters, digits and underscores.

    Raises:
        UnusableSet: it has no letter to begin with, or is too long.
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not NAME.fullmatch(plain):
        raise UnusableSet(
            f"{name!r:.60} cannot be the name of a source: it needs a letter first, and at most 40 letters, "
            "digits and underscores. Say which one the clips have (--source)"
        )
    return plain


def read_clips(files: SetFiles, notes: Notes, *, with_audio: bool = True) -> Iterator[dict[str, Any]]:
    """The clips of a set, as rows of `tables.IMPORTED_CLIPS`. Rows that are of no clip are noted.

    A clip can occur twice, and two sources may ask for one file: `build_tables` settles both.

    Args:
        with_audio: whether the clips' audio is looked for.

    Raises:
        UnusableSet: a list or a tar cannot be read.
    """
    index: AudioIndex | None = None
    for file, source in files.lists:
        logger.info("reading %s", file)
        try:
            if file.suffix == TAR:
                yield from _tar_clips(file, files.root, source, notes)
                continue
            cells = _cells_of(file, files.root)
            if with_audio and cells is None and index is None:
                index = AudioIndex(files.root, notes.problems)
            wanted = WANTED if cells is None else WITHOUT_CELLS
            rows = duckdb_rows(file, FIELDS) if file.suffix == DUCKDB else rows_of(file, wanted)
            for number, row in enumerate(rows):
                clip = _clip(row, source, f"{file.name} row {number + 1}", notes)
                if clip is None:
                    continue
                if cells is not None:
                    clip["audio"] = cells.place(number)
                elif index is not None:
                    names = (clip["source_id"], f"Y{clip['source_id']}")
                    clip["audio"], clip["problem"] = index.find(clip["source"], paths_of(row), names)
                yield clip
        except (UnusableManifest, TarError) as error:
            raise UnusableSet(str(error)) from error
    if index is not None:
        notes.unused_audio = index.unused
        notes.contested |= index.contested
        for place in sorted(index.contested):
            notes.add("audio files that clips of two sources have the name of", place)


def _clip(row: Mapping[str, Any], source: str, where: str, notes: Notes) -> dict[str, Any] | None:
    given = with_nested(row).get("source")
    try:
        clip = clip_of(row, source_name(given) if isinstance(given, str) and given else source)
    except BadRow as error:
        notes.add("rows that are of no clip", f"{where}: {error}")
        return None
    if not clip["captions"]:
        notes.add(WITHOUT_CAPTION, clip["clip_id"])
    if not clip["description"]:
        notes.add(WITHOUT_DESCRIPTION, clip["clip_id"])
    return clip


@dataclass(frozen=True)
class _Cells:
    """The audio in a Parquet file, as Hugging Face `datasets` keeps it."""

    file: str
    ends: list[int]

    def place(self, row: int) -> str:
        group = bisect_right(self.ends, row)
        return of_cell(self.file, group, row - (self.ends[group - 1] if group else 0), CELLS)


def _cells_of(file: Path, root: Path) -> _Cells | None:
    """The cells of audio of a file; None: it has none."""
    if suffix_of(file) != PARQUET:
        return None
    try:
        with pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            kind = parquet.schema_arrow.field(CELLS).type if CELLS in names else pa.null()
            is_struct = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
            if not (is_struct or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
                return None
            _require_inside(file, root)
            groups = [parquet.metadata.row_group(number) for number in range(parquet.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise UnusableSet(f"{file} cannot be read as Parquet: {error}") from error
    leaf = f"{CELLS}.bytes" if is_struct else CELLS
    columns = [group.column(at) for group in groups for at in range(group.num_columns)]
    packed = [column.statistics for column in columns if column.path_in_schema == leaf]
    if packed and all(one is not None and one.num_values == 0 for one in packed):
        return None
    return _Cells(file.resolve().relative_to(root).as_posix(), list(accumulate(g.num_rows for g in groups)))


def _require_inside(file: Path, root: Path) -> None:
    if not file.resolve().is_relative_to(root):
        raise UnusableSet(
            f"{file} is a link to a file outside {root}, and audio is not read from there: download the set "
            "as files (hf download … --local-dir FOLDER)"
        )


def _tar_clips(file: Path, root: Path, source: str, notes: Notes) -> Iterator[dict[str, Any]]:
    _require_inside(file, root)
    relative = file.resolve().relative_to(root).as_posix()
    found = tar_members(relative, file)
    with file.open("rb") as tar:
        for key, members in found.items():
            audio = next((members[ending] for ending in members if ending in AUDIO_ENDINGS), None)
            record = members.get(".json") or members.get(".txt")
            if audio is None and record is None:
                continue
            row = _record(tar, members, f"{relative}: {key!r:.100}", notes)
            # The key is the clip's id, unless its record has one.
            clip = _clip({"id": key.replace("/", "-"), **row}, source, f"{relative}: {key!r:.100}", notes)
            if clip is None:
                continue
            if audio is not None:
                clip["audio"] = of_tar(relative, audio.offset_data, audio.size)
            yield clip


def _record(
    tar: io.BufferedReader, members: Mapping[str, Any], where: str, notes: Notes
) -> Mapping[str, Any]:
    """What the record of a clip says; nothing if it cannot be read."""
    member = members.get(".json") or members.get(".txt")
    if member is None:
        return {}
    if member.size > MAX_TEXT_BYTES:
        notes.add("records that are too large", where)
        return {}
    tar.seek(member.offset_data)
    try:
        text = tar.read(member.size).decode("utf-8")
        record = json.loads(text) if ".json" in members else {"caption": text.strip()}
    except (ValueError, RecursionError) as error:
        notes.add("records that cannot be read", f"{where}: {error}")
        return {}
    if not isinstance(record, dict):
        notes.add("records that cannot be read", where)
        return {}
    if TAR_CAPTIONS in record and not any(name in record for name in CAPTION_COLUMNS):
        captions = record.pop(TAR_CAPTIONS)
        record["captions"] = captions if isinstance(captions, list) else [captions]
    return record
