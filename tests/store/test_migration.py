"""Tables that an older version wrote are read; those that no version wrote are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavcaps_assets.store.migration import SCHEMA_VERSION, fits
from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import BY_ASSET, register_schemas
from wavcaps_assets.tables.asset_tables import NewerVersion, OtherVersion, TableStore

KEY = ["sounds_of_a_test"]
FILE = "tables/sounds_of_a_test/all.parquet"
FIRST = (Column("clip_id", pa.string(), "the clip"), Column("seconds", pa.float64(), "its duration (s)"))
SECOND = Column("tags", pa.list_(pa.string()), "its tags", nullable=True, added_in=2)
THIRD = Column("loud", pa.bool_(), "whether it is loud", nullable=True, added_in=3)
SOUNDS = TableSchema("sounds", "Sounds.", (*FIRST, SECOND, THIRD))


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[TableStore]:
    register_schemas({KEY[0]: SOUNDS})
    yield TableStore(Store(tmp_path))
    del BY_ASSET[KEY[0]]


def write(tables: TableStore, version: str | None, **columns: list[object]) -> None:
    """Writes a file as some version of the project would."""
    path = tables.store.path(FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(version and {SCHEMA_VERSION: version}), path)


def test_columns_that_were_added_since_are_null(tables: TableStore) -> None:
    write(tables, None, clip_id=["a", "b"], seconds=[1.0, 2.0])
    assert tables.read(KEY).to_pylist() == [
        {"clip_id": "a", "seconds": 1.0, "tags": None, "loud": None},
        {"clip_id": "b", "seconds": 2.0, "tags": None, "loud": None},
    ]
    write(tables, "2", clip_id=["a"], seconds=[1.0], tags=[["rain"]])
    assert tables.read(KEY).to_pylist() == [{"clip_id": "a", "seconds": 1.0, "tags": ["rain"], "loud": None}]


def test_old_and_new_partitions_are_one_table(tables: TableStore) -> None:
    write(tables, None, clip_id=["a"], seconds=[1.0])
    tables.store.path(FILE).rename(tables.store.path(FILE.replace("all", "old")))
    new = {"clip_id": "b", "seconds": 2.0, "tags": ["rain"], "loud": True}
    tables.write(KEY, "young", SOUNDS.from_rows([new]))
    old = {"clip_id": "a", "seconds": 1.0, "tags": None, "loud": None}
    assert tables.read(KEY).to_pylist() == [old, new]


def test_some_columns_of_an_old_table_are_read_in_their_order(tables: TableStore) -> None:
    write(tables, None, clip_id=["a"], seconds=[1.0])
    assert tables.read(KEY, columns=["loud", "clip_id"]).to_pylist() == [{"loud": None, "clip_id": "a"}]
    assert tables.read(KEY, columns=["loud"]).num_rows == 1


def test_an_empty_old_table_has_the_new_columns(tables: TableStore) -> None:
    path = tables.store.path(FILE)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.schema([("clip_id", pa.string()), ("seconds", pa.float64())]).empty_table(), path)
    assert tables.read(KEY).equals(SOUNDS.empty())


def test_a_table_is_written_in_the_new_layout_with_its_version(tables: TableStore) -> None:
    write(tables, None, clip_id=["a"], seconds=[1.0])
    tables.write(KEY, None, tables.read(KEY))
    written = pq.read_schema(tables.store.path(FILE))
    assert written.names == ["clip_id", "seconds", "tags", "loud"]
    assert written.metadata[SCHEMA_VERSION.encode()] == b"3"


@pytest.mark.parametrize(
    ("version", "columns", "said"),
    [
        (None, {"clip_id": ["a"]}, "it lacks seconds"),
        (None, {"clip_id": ["a"], "seconds": [1.0], "loud": [True]}, "other columns"),
        (None, {"clip_id": ["a"], "seconds": [1.0], "colour": ["red"]}, "unknown are colour"),
        ("2", {"clip_id": ["a"], "seconds": [1.0]}, "it lacks tags"),
        ("1", {"clip_id": ["a"], "seconds": [1.0], "tags": [["rain"]]}, "other columns"),
        ("two", {"clip_id": ["a"], "colour": ["red"]}, "it lacks seconds; unknown are colour"),
    ],
)
def test_columns_of_no_version_are_refused(
    tables: TableStore, version: str | None, columns: dict[str, list[object]], said: str
) -> None:
    write(tables, version, **columns)
    with pytest.raises(OtherVersion, match=f"all.parquet cannot be read: .*{said}.*materialize"):
        tables.read(KEY, columns=["clip_id"])


def test_a_table_of_a_newer_version_is_refused(tables: TableStore) -> None:
    write(tables, "4", clip_id=["a"], seconds=[1.0], tags=[["rain"]], loud=[True], colour=["red"])
    with pytest.raises(NewerVersion, match=r"version 4 of the table 'sounds'; this one knows version 3"):
        tables.read(KEY)


def test_a_column_that_was_added_later_is_nullable() -> None:
    with pytest.raises(ValueError, match="'loud' was added later"):
        Column("loud", pa.bool_(), "whether it is loud", added_in=3)


def test_rows_in_a_log_fit_if_some_version_wrote_them() -> None:
    assert fits(SOUNDS, {"clip_id", "seconds"})
    assert fits(SOUNDS, {"clip_id", "seconds", "tags"})
    assert fits(SOUNDS, {"clip_id", "seconds", "tags", "loud"})
    assert not fits(SOUNDS, {"clip_id", "seconds", "loud"})
    assert not fits(SOUNDS, {"clip_id", "seconds", "colour"})
