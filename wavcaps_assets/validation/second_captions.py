"""The captions to compare with, by clip: written by people, as in Clotho, or by another system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from wavcaps_assets.store.storage import Store

# The first of these columns in the file is used; `caption_comparison` has the first.
COLUMNS = ("second_caption", "caption")


class BadSecondCaptions(ValueError):
    """A file of second captions cannot be read, or has other columns."""


@dataclass(frozen=True)
class SecondCaptions:
    """The content of a file of second captions.

    Attributes:
        by_clip: the different captions of each clip, in a fixed order.
        empty: the number of rows that are ignored, since they have no clip or no caption text.
    """

    by_clip: Mapping[str, tuple[str, ...]]
    empty: int


def read_second_captions(path: str, store: Store) -> SecondCaptions:
    """Reads a CSV or Parquet file with columns `clip_id` and `second_caption` or `caption`.

    A clip can have several rows; one of its captions is sampled.

    Args:
        path: absolute, or relative to the store.

    Raises:
        BadSecondCaptions: it cannot be read, or a column is missing or repeated.
        StoreError: it is not in the store.
    """
    if Path(path).is_absolute():
        if not Path(path).is_file():
            raise BadSecondCaptions(f"there is no file of second captions {path}")
        return _read(Path(path), path)
    with store.reading(path) as file:
        return _read(file, path)


def _read(file: Path, name: str) -> SecondCaptions:
    table = _table(file, name)
    table = table.rename_columns([column.strip() for column in table.column_names])
    if repeated := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise BadSecondCaptions(
            f"{name} has the columns {', '.join(repeated)} more than once: keep one of each"
        )
    column = next((name for name in COLUMNS if name in table.column_names), None)
    if column is None or "clip_id" not in table.column_names:
        raise BadSecondCaptions(
            f"{name} needs the columns clip_id and {' or '.join(COLUMNS)}; it has "
            f"{', '.join(table.column_names)}"
        )
    found: dict[str, set[str]] = {}
    empty = 0
    for row in table.select(["clip_id", column]).to_pylist():
        clip_id, caption = row["clip_id"], row[column]
        clip_id = _text(str(clip_id) if type(clip_id) is int else clip_id)
        caption = _text(caption)
        if clip_id and caption:
            found.setdefault(clip_id, set()).add(caption)
        else:
            empty += 1
    return SecondCaptions({clip_id: tuple(sorted(texts)) for clip_id, texts in found.items()}, empty)


def _table(file: Path, name: str) -> pa.Table:
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if name.endswith(".parquet"):
            return pyarrow.parquet.read_table(file, partitioning=None)
        with file.open("rb") as lines:
            columns = lines.readline().decode("utf-8-sig").strip().split(",")
        # An id of digits is text, not a number.
        as_text = pyarrow.csv.ConvertOptions(
            column_types={column.strip('"'): pa.string() for column in columns}
        )
        quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
        return pyarrow.csv.read_csv(file, parse_options=quoted, convert_options=as_text)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BadSecondCaptions(f"{name} cannot be read as CSV or Parquet: {error}") from error


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
