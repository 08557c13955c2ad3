"""A table matches its schema, or the error says what does not match."""

import pyarrow as pa
import pytest

from wavcaps_assets.store.schema import Column, SchemaError, TableSchema
from wavcaps_assets.tables import BY_ASSET, RAW_CLIPS, schema_of
from wavcaps_training.tables import CHECKPOINT, RETRIEVAL_SCORES

SOUNDS = TableSchema(
    "sounds",
    "for these tests",
    (
        Column("clip_id", pa.string(), "id"),
        Column("duration_s", pa.float64(), "duration (s)", nullable=True),
    ),
)


def test_rows_become_a_table_in_the_declared_order() -> None:
    table = SOUNDS.from_rows([{"duration_s": 1.5, "clip_id": "a"}, {"clip_id": "b"}])
    assert table.column_names == ["clip_id", "duration_s"]
    assert table.to_pylist() == [{"clip_id": "a", "duration_s": 1.5}, {"clip_id": "b", "duration_s": None}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"clip_id": None}], "'clip_id' is empty"),
        ([{"clip_id": "a", "duration_s": "long"}], "'duration_s' requires double"),
        ([{"clip_id": "a"}, {"clip_id": "a"}], "repeated keys"),
        ([{"clip_id": "a", "colour": "red"}], "no column colour"),
    ],
)
def test_an_error_names_table_and_column(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(SchemaError, match=message) as raised:
        SOUNDS.from_rows(rows)
    assert "'sounds'" in str(raised.value)


def test_missing_and_unknown_columns_are_named() -> None:
    with pytest.raises(SchemaError, match="lacks columns: duration_s; has unknown columns: length"):
        SOUNDS.check(pa.table({"clip_id": ["a"], "length": [1.0]}))


def test_every_asset_table_has_described_columns() -> None:
    for schema in BY_ASSET.values():
        assert all(column.description for column in schema.columns)
        assert set(schema.key) <= set(schema.arrow.names)


@pytest.mark.parametrize(
    ("key", "schema"),
    [
        (["freesound", "raw_clips"], RAW_CLIPS),
        (["checkpoint", "htsat_bert", "demo"], CHECKPOINT),
        (["scores", "retrieval"], RETRIEVAL_SCORES),
    ],
)
def test_an_assets_schema_is_found_by_its_key(key: list[str], schema: TableSchema) -> None:
    assert schema_of(key) is schema


def test_an_unknown_asset_is_named() -> None:
    with pytest.raises(KeyError, match="colours/red"):
        schema_of(["colours", "red"])
