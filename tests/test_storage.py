"""The store holds whole files only, inside its folder only."""

from pathlib import Path

import pyarrow as pa
import pytest

from tests.rows import audio_row
from wavcaps_assets import schemas
from wavcaps_assets.segments import SegmentLog
from wavcaps_assets.stages import Stage, drop
from wavcaps_assets.storage import Store, StoreError
from wavcaps_assets.table_store import TableStore, path_of
from wavcaps_assets.tables import SchemaError

RECORDINGS = schemas.RECORDINGS.from_rows([{"clip_id": "a", "recording": "r"}])


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "nul\0"])
def test_a_path_that_leaves_the_store_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(StoreError, match="no path inside the store"):
        Store(tmp_path).path(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing("a.txt") as path:
        path.write_text("old")
    with pytest.raises(RuntimeError), store.writing("a.txt") as path:
        path.write_text("half")
        raise RuntimeError
    assert store.path("a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="WAVCAPS_STORE"), Store(tmp_path / "file").writing("a.txt"):
        pass


def test_tables_come_back_as_written(tmp_path: Path) -> None:
    tables = TableStore(Store(tmp_path))
    tables.write(["recordings"], None, RECORDINGS)
    assert tables.read(["recordings"]).equals(RECORDINGS)


def test_partitions_are_read_one_or_all_and_with_what_was_dropped(tmp_path: Path) -> None:
    tables = TableStore(Store(tmp_path))
    for month, clip in (("2022-09", "a"), ("2022-10", "b")):
        dropped = schemas.DROPPED.from_rows([drop(f"{clip}2", "freesound", "audio", "audio_gone")])
        kept = schemas.AUDIO.from_rows([audio_row(clip)])
        tables.write(["freesound", "audio"], month, Stage(kept, dropped))
    assert tables.read(["freesound", "audio"]).column("clip_id").to_pylist() == ["a", "b"]
    one = tables.read_stage(["freesound", "audio"], ["2022-10"])
    assert one.kept.column("clip_id").to_pylist() == ["b"]
    assert one.dropped.column("clip_id").to_pylist() == ["b2"]
    with pytest.raises(StoreError, match="2022-11"):
        tables.read(["freesound", "audio"], ["2022-11"])


def test_a_table_of_another_shape_is_not_written(tmp_path: Path) -> None:
    tables = TableStore(Store(tmp_path))
    with pytest.raises(SchemaError, match="recording"):
        tables.write(["recordings"], None, pa.table({"clip_id": ["a"]}))
    assert not tables.exists(["recordings"], None)


@pytest.mark.parametrize("partition", ["..", "a/b", ".hidden"])
def test_a_partition_is_a_plain_name(partition: str) -> None:
    with pytest.raises(StoreError, match="cannot be a path"):
        path_of(["freesound", "audio"], partition)


def test_a_log_survives_a_torn_last_line(tmp_path: Path) -> None:
    with SegmentLog(tmp_path) as log:
        log.append({"answer": 1})
        log.append({"answer": 2})
    (segment,) = tmp_path.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes() + b'{"answer": 3')
    with SegmentLog(tmp_path) as log:
        log.append({"answer": 4})
        assert [record["answer"] for record in log.read()] == [1, 2, 4]
