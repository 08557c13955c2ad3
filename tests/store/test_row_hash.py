"""A table's hash: the same for the same rows however they are stored, another one for any other row."""

from __future__ import annotations

import hashlib
import struct
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavcaps_assets.store.row_hash import rows_hash
from wavcaps_assets.store.schema import Column, TableSchema

EVENT = pa.struct([pa.field("label", pa.string()), pa.field("onset_s", pa.float64())])
SCHEMA = TableSchema(
    "clips",
    "Columns of every kind that our tables have.",
    (
        Column("clip_id", pa.string(), "the clip"),
        Column("title", pa.string(), "its title", nullable=True),
        Column("tags", pa.list_(pa.string()), "its tags", nullable=True),
        Column("events", pa.list_(EVENT), "its events", nullable=True),
        Column("seconds", pa.float64(), "its length", nullable=True),
        Column("version", pa.int32(), "its version", nullable=True),
        Column("good", pa.bool_(), "whether it is good", nullable=True),
        Column("created", pa.timestamp("us", tz="UTC"), "when it was made", nullable=True),
        Column("crawled_at", pa.timestamp("us", tz="UTC"), "when it was read", nullable=True, is_data=False),
    ),
)
ROWS: list[dict[str, Any]] = [
    {
        "clip_id": "a-1",
        "title": "Dog",
        "tags": ["dog", "yard"],
        "events": [{"label": "Bark", "onset_s": 0.5}],
        "seconds": 1.5,
        "version": 1,
        "good": True,
        "created": 10,
        "crawled_at": 5,
    },
    {"clip_id": "a-2", "title": None, "tags": [], "events": None, "seconds": None, "good": False},
    {"clip_id": "a-3", "title": "", "tags": None, "events": [], "seconds": 0.0, "version": 0, "created": 0},
]


def some_rows(draw: Random) -> list[dict[str, Any]]:
    """Few values, so that two draws are sometimes the same, with empty and missing ones among them."""

    def text() -> str | None:
        return draw.choice([None, "", "a", "ab", "b"])

    def events() -> list[dict[str, Any] | None]:
        event = {"label": text(), "onset_s": draw.choice([None, 0.0, 0.5])}
        return draw.choices([None, event], k=draw.randrange(3))

    return [
        {
            "title": text(),
            "tags": draw.choice([None, [text() for _ in range(draw.randrange(3))]]),
            "events": draw.choice([None, events()]),
            "seconds": draw.choice([None, 0.0, 1.5]),
            "version": draw.choice([None, 0, 1]),
            "good": draw.choice([None, False, True]),
            "created": draw.choice([None, 0, 1]),
        }
        for _ in range(draw.randrange(4))
    ]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA.arrow)


def numbered(rows: list[dict[str, Any]]) -> pa.Table:
    return table([{"clip_id": str(number), **row} for number, row in enumerate(rows)])


def of(rows: list[dict[str, Any]]) -> str:
    return rows_hash(table(rows), SCHEMA)


def test_the_hash_of_a_table_is_that_of_its_columns_computed_by_hand() -> None:
    """The digests of one column of texts, written down from the description of the hash."""
    texts = pa.table({"clip_id": ["a", "bcd"], "title": pa.nulls(2, pa.string())})
    one = TableSchema("one", "", (SCHEMA.columns[0], SCHEMA.columns[1]))
    parts = {"": b"abcd", "#": struct.pack("<qq", 1, 3), "?": b"\1\1"}
    column = hashlib.sha256(
        b"".join(name.encode() + b"\0" + hashlib.sha256(part).digest() for name, part in parts.items())
    )
    assert rows_hash(texts, one) == hashlib.sha256(b"2\0clip_id\0" + column.digest()).hexdigest()[:16]


def test_two_tables_have_the_same_hash_if_they_have_the_same_rows() -> None:
    draw = Random(0)
    drawn = [numbered(some_rows(draw)) for _ in range(300)]
    # Each with one column of another, too, which are the most similar.
    mixed = [
        one.set_column(place, one.schema.field(place), other.column(place))
        for one, other in pairwise(drawn)
        if one.num_rows == other.num_rows
        for place in range(1, one.num_columns - 1)
    ]
    rows_by_hash: dict[str, list[Any]] = {}
    for one in [*drawn, *mixed]:
        assert rows_by_hash.setdefault(rows_hash(one, SCHEMA), one.to_pylist()) == one.to_pylist()
    assert len(rows_by_hash) == len({repr(one.to_pylist()) for one in [*drawn, *mixed]})


def test_chunks_and_slices_do_not_matter() -> None:
    draw = Random(1)
    for _ in range(100):
        whole = numbered(some_rows(draw))
        cut = draw.randrange(4)
        parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
        longer = pa.concat_tables([numbered(ROWS), whole]).combine_chunks().slice(len(ROWS))
        assert rows_hash(parts, SCHEMA) == rows_hash(longer, SCHEMA) == rows_hash(whole, SCHEMA)


@pytest.mark.parametrize(
    "options",
    [{"compression": "none"}, {"row_group_size": 1}, {"use_dictionary": False}, {"version": "1.0"}],
)
def test_how_parquet_stores_it_does_not_matter(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(table(ROWS), path, coerce_timestamps="us", **options)
    assert rows_hash(pq.read_table(path), SCHEMA) == of(ROWS)


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (0, "title", "dog"),
        (1, "title", ""),
        (2, "title", None),
        (0, "tags", ["dogyard"]),
        (1, "tags", None),
        (0, "events", [{"label": "Bark", "onset_s": 0.6}]),
        (1, "events", []),
        (1, "seconds", 0.0),
        (2, "version", None),
        (0, "good", False),
        (2, "created", None),
    ],
)
def test_one_other_value_is_another_table(row: int, column: str, value: object) -> None:
    changed = [dict(one) for one in ROWS]
    changed[row][column] = value
    assert of(changed) != of(ROWS)


def test_the_order_of_rows_matters_and_that_of_columns_does_not() -> None:
    assert of(ROWS[::-1]) != of(ROWS)
    turned = table(ROWS).select(SCHEMA.arrow.names[::-1])
    assert rows_hash(turned, SCHEMA) == of(ROWS)


def test_when_something_was_done_does_not_matter() -> None:
    assert of([{**row, "crawled_at": 99} for row in ROWS]) == of(ROWS)


def test_a_new_column_that_is_null_everywhere_does_not_matter() -> None:
    newer = TableSchema("clips", "", (*SCHEMA.columns, Column("licence", pa.string(), "", nullable=True)))
    wider = table(ROWS).append_column("licence", pa.nulls(len(ROWS), pa.string()))
    assert rows_hash(wider, newer) == of(ROWS)
    filled = table(ROWS).append_column("licence", pa.array(["CC0", None, None]))
    assert rows_hash(filled, newer) != of(ROWS)
