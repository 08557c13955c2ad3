"""The rows of one manifest file: Parquet, JSON, JSON Lines or CSV; text can be compressed with gzip."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Names of the columns with a clip's id, captions and raw text. The first one in a file is used.
ID_COLUMNS = ("clip_id", "id")
CAPTION_COLUMNS = ("caption", "captions", *(f"caption_{number}" for number in range(1, 6)))
TEXT_COLUMNS = ("text", "description", "title")
EVENT_COLUMN = "events"
EVENT_FIELDS = ("onset_s", "offset_s", "label")
USED = frozenset({*ID_COLUMNS, *CAPTION_COLUMNS, *TEXT_COLUMNS, "source", EVENT_COLUMN})
PARQUET = ".parquet"
TEXT_FORMATS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
SUFFIXES = (PARQUET, *TEXT_FORMATS, *(f"{suffix}.gz" for suffix in TEXT_FORMATS))
BATCH = 10_000
# JSON and Parquet values that are not text, in words.
KINDS = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What is read of a file.

    Attributes:
        columns: the columns; others are left out, so that 262,300 clips fit into memory.
        captions: whether a file without captions is refused.
    """

    columns: frozenset[str] = USED
    captions: bool = True


# What the checks of captions read.
CAPTIONED = Wanted()


class UnusableManifest(ValueError):
    """A file or folder that is not a manifest. The message says why, and what was found instead."""


def suffix_of(file: Path) -> str:
    """The suffix among `SUFFIXES` of a file's name; empty for any other file."""
    name = file.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def rows_of(file: Path, wanted: Wanted = CAPTIONED) -> Iterator[Row]:
    """The rows of a file.

    Raises:
        UnusableManifest: it cannot be read, or has no column of ids or captions.
    """
    suffix = suffix_of(file).removesuffix(".gz")
    if suffix == PARQUET:
        return _parquet_rows(file, wanted)
    content = _text_of(file)
    if suffix in (".csv", ".tsv"):
        return _csv_rows(file, content, "\t" if suffix == ".tsv" else ",", wanted)
    return _json_rows(file, content, wanted)


def kind_of(value: object) -> str:
    """What a value is, in words."""
    return KINDS.get(type(value), f"a {type(value).__name__}")


def _parquet_rows(file: Path, wanted: Wanted) -> Iterator[Row]:
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UnusableManifest(f"{file} cannot be read as Parquet: {error}") from error
    _require(names, file, wanted)
    for field in parquet.schema_arrow:
        if field.name in CAPTION_COLUMNS and not _may_hold_text(field.type):
            raise UnusableManifest(
                f"{file}: the column {field.name} is {field.type}, and not text or a list of texts"
            )
    try:
        for batch in parquet.iter_batches(BATCH, columns=[name for name in names if name in wanted.columns]):
            try:
                yield from batch.to_pylist()
            except UnicodeDecodeError:
                yield from _with_spoilt_text(batch)
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise UnusableManifest(f"{file} cannot be read as Parquet: {error}") from error


def _may_hold_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _may_hold_text(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return not pa.types.is_nested(kind.value_type) and _may_hold_text(kind.value_type)
    return not pa.types.is_nested(kind)


def _with_spoilt_text(batch: pa.RecordBatch) -> list[Row]:
    """The rows of a batch with bytes that are not UTF-8, which spoil their own row."""
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            columns[name] = column.to_pylist()
            continue
        kind = pa.binary() if pa.types.is_string(column.type) else pa.large_binary()
        values = column.cast(kind).to_pylist()
        columns[name] = [None if one is None else one.decode("utf-8", "surrogateescape") for one in values]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _text_of(file: Path) -> str:
    """The content of a text file. Bytes that are not UTF-8 spoil their own row, not the file."""
    try:
        content = file.read_bytes()
        if suffix_of(file).endswith(".gz"):
            content = gzip.decompress(content)
        encoding = json.detect_encoding(content)
        return content.decode("utf-8-sig" if encoding.startswith("utf-8") else encoding, "surrogateescape")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UnusableManifest(f"{file} cannot be read: {error}") from error


def _csv_rows(file: Path, content: str, delimiter: str, wanted: Wanted) -> Iterator[Row]:
    lines = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    try:
        lines.fieldnames = [name.strip() for name in lines.fieldnames or ()]
        _require(lines.fieldnames, file, wanted)
        for row in lines:
            if None in row:
                raise UnusableManifest(
                    f"{file} line {lines.line_num} has more values than columns: put captions in quotes"
                )
            # An empty field is a missing value.
            yield {name: value or None for name, value in row.items()}
    except csv.Error as error:
        raise UnusableManifest(f"{file} line {lines.line_num} cannot be read as CSV: {error}") from error


def _json_rows(file: Path, text: str, wanted: Wanted) -> Iterator[Row]:
    rows: Any
    try:
        content = json.loads(text, object_hook=partial(_used_only, wanted))
    except RecursionError as error:
        raise UnusableManifest(f"{file} cannot be read as JSON: {error}") from error
    except ValueError as error:
        rows = _json_lines(file, text, error, wanted)
    else:
        rows = content.get("data") if isinstance(content, dict) and "data" in content else content
        if isinstance(rows, dict) and not rows.keys().isdisjoint(ID_COLUMNS):
            # JSON Lines with one line.
            rows = [rows]
        if not isinstance(rows, list):
            raise UnusableManifest(f'{file} has no list of clips: neither {{"data": [...]}} nor [...]')
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UnusableManifest(
                f"{file}: row {number} is {'text' if isinstance(row, str) else kind_of(row)}, not an object"
            )
    if rows:
        _require(set(chain.from_iterable(rows)), file, wanted)
    yield from rows


def _json_lines(file: Path, text: str, whole: ValueError, wanted: Wanted) -> list[Any]:
    """The objects of JSON Lines, one a line.

    Args:
        whole: why the file is not one JSON value; the message if its first line is not JSON either.
    """
    rows: list[Any] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line, object_hook=partial(_used_only, wanted)))
        except (ValueError, RecursionError) as error:
            problem = f"line {number}: {error}" if rows else str(whole)
            raise UnusableManifest(f"{file} cannot be read as JSON or JSON Lines: {problem}") from error
    return rows


def _used_only(wanted: Wanted, value: dict[str, Any]) -> dict[str, Any]:
    """A clip with its used columns only, so that 262,300 fit into memory; any other object as it is."""
    has_captions = any(name in value for name in CAPTION_COLUMNS) or not wanted.captions
    if not (any(name in value for name in ID_COLUMNS) and has_captions):
        return value
    return {name: field for name, field in value.items() if name in wanted.columns}


def _require(names: Iterable[str], file: Path, wanted: Wanted) -> None:
    existing = sorted(names)
    problems = [
        f"no column {' or '.join(needed)}{_similar(needed, existing)}"
        for needed in (ID_COLUMNS, *([("caption", "caption_1")] if wanted.captions else []))
        if not {*(needed if needed is ID_COLUMNS else CAPTION_COLUMNS)} & {*existing}
    ]
    if problems:
        raise UnusableManifest(f"{file} has {' and '.join(problems)}; it has {', '.join(existing) or 'none'}")


def _similar(needed: Sequence[str], existing: Sequence[str]) -> str:
    close = [found for name in needed for found in difflib.get_close_matches(name, existing)]
    return f" (is it {close[0]!r}?)" if close else ""
