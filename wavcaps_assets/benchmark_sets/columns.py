"""Columns of a benchmark's official lists: CSV files whose delimiter and encoding differ."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = ",;\t"
# Of the titles and descriptions that a list may have.
MAX_FIELD_CHARS = 1_000_000


def read_list_columns(
    store: Store, path: str, columns: Mapping[str, Sequence[str]], optional: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Reads some columns of a CSV file with a header line.

    The file may start with a byte order mark, may be encoded in UTF-8 or, as some of Clotho's, in Windows'
    Latin alphabet, and its delimiter may be a comma, a semicolon or a tab.

    Args:
        store: the store that contains the file.
        path: its path.
        columns: by the name of each column in the result, the names that the file may give it.
        optional: those that the file may lack, or have without a value: its values are then empty.

    Returns:
        By name, the values of each row without blanks around them.

    Raises:
        SetError: a column or a value is missing; names the file and the column, and what is expected.
        MissingFile: there is no such file.
    """
    where = store.describe(path)
    header, rows = read_records(store, path)
    places = {
        name: next((header.index(other) for other in names if other in header), None)
        for name, names in columns.items()
    }
    for name, place in places.items():
        if place is None and name not in optional:
            raise SetError(
                f"{where} has no column {' or '.join(map(repr, columns[name]))}. Its first line is "
                f"{', '.join(header)[:200]!r}; expected are the columns {', '.join(columns)}"
            )
    values: dict[str, list[str]] = {name: [] for name in columns}
    for line, row in rows:
        for name, place in places.items():
            value = row[place].strip() if place is not None and place < len(row) else ""
            if not value and name not in optional:
                raise SetError(f"{where}, line {line}: there is no value of {columns[name][0]!r}: {row}")
            values[name].append(value)
    return values


def read_records(store: Store, path: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Reads a CSV file with a header line, in the encodings and delimiters of `read_list_columns`.

    Returns:
        The names of its columns without blanks around them, and its rows that are not empty, each with the
        number of its last line. A row may have more or fewer values than there are columns.

    Raises:
        SetError: it is not CSV; names the line. Rows raise it when they are read.
        MissingFile: there is no such file.
    """
    lines = io.StringIO(_text(store.read_bytes(path)), newline="")
    header_line = lines.readline()
    delimiter = max(DELIMITERS, key=header_line.count)
    header = [name.strip() for name in next(csv.reader([header_line], delimiter=delimiter), [])]
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    return header, _rows(reader, store.describe(path))


def read_headless_rows(store: Store, path: str, columns: Sequence[str]) -> list[list[str]]:
    """Reads a CSV file that has no header line.

    Raises:
        SetError: a row does not have these columns.
        MissingFile: there is no such file.
    """
    where = store.describe(path)
    rows = []
    lines = io.StringIO(_text(store.read_bytes(path)), newline="")
    for line, row in _rows(csv.reader(lines, strict=True), where, 0):
        if len(row) != len(columns):
            raise SetError(
                f"{where}, line {line} has {len(row)} columns: expected are {', '.join(columns)}, without a "
                f"header line: {row}"
            )
        rows.append([value.strip() for value in row])
    return rows


def number(value: str, column: str, where: str) -> float:
    """A number of a list.

    Raises:
        SetError: it is none; names the file and the column.
    """
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise SetError(f"{where}: the column {column!r} is a number, not {value[:100]!r}")
    return found


def _rows(reader: Reader, where: str, header_lines: int = 1) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with the number of their last line."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARS))
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield reader.line_num + header_lines, row
    except csv.Error as error:
        raise SetError(f"{where}, line {reader.line_num + header_lines} is not CSV: {error}") from error


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
