"""A store, in a folder or a bucket, has complete files only, inside its root only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.rows import audio_row
from wavcaps_assets.store.schema import SchemaError
from wavcaps_assets.store.storage import MissingFile, Store, StoreError
from wavcaps_assets.tables import AUDIO, DROPPED, RECORDINGS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, path_of
from wavcaps_assets.tables.stage import Stage, drop

RECORDINGS = RECORDINGS.from_rows([{"clip_id": "a", "recording": "r"}])


def read(store: Store, relative: str) -> bytes:
    with store.reading(relative) as path:
        return path.read_bytes()


def write(store: Store, relative: str) -> None:
    with store.writing(relative) as path:
        path.write_bytes(b"written")


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        Store.exists,
        Store.size,
        Store.sizes,
        Store.describe,
        Store.read_bytes,
        Store.read_table,
        Store.remove,
        read,
        write,
        lambda store, path: store.remove_files([path]),
        lambda store, path: store.write_bytes(path, b"written"),
    ],
)
def test_a_path_that_leaves_the_store_is_refused(store: Store, use: Callable[[Store, str], object]) -> None:
    for path in (
        "../outside",
        "/etc/passwd",
        "a/../../b",
        "a/./b",
        "a//b",
        "a/",
        "",
        "back\\slash",
        "nul\0",
        "line\nfeed",
        "\x9b31m",
        "\ud800",
    ):
        with pytest.raises(StoreError, match="is not a path inside the store"):
            use(store, path)


def test_the_path_of_a_file_stays_in_the_folder(tmp_path: Path) -> None:
    assert Store(tmp_path).path("a/b.flac") == tmp_path.resolve() / "a" / "b.flac"
    with pytest.raises(StoreError, match="is not a path inside the store"):
        Store(tmp_path).path("../outside")


def test_a_failed_write_leaves_the_old_file(store: Store) -> None:
    store.write_bytes("tables/a.txt", b"old")
    with pytest.raises(RuntimeError), store.writing("tables/a.txt") as path:
        path.write_text("half")
        raise RuntimeError
    assert store.read_bytes("tables/a.txt") == b"old"
    assert store.sizes("tables") == {"a.txt": 3}
    assert not path.exists()


def test_a_file_appears_when_it_is_complete(store: Store) -> None:
    with store.writing("tables/a.txt") as path:
        path.write_text("half")
        assert not store.exists("tables/a.txt")
        assert store.sizes("tables") == {}
        path.write_text("whole")
    assert read(store, "tables/a.txt") == b"whole"


def test_a_path_to_read_or_write_keeps_the_suffix(store: Store) -> None:
    # soundfile and other libraries use it to choose the format.
    with store.writing("audio/a.flac") as path:
        assert path.suffix == ".flac"
    with store.reading("audio/a.flac") as path:
        assert path.suffix == ".flac"


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="WAVCAPS_STORE"), Store(tmp_path / "file").writing("a.txt"):
        pass


def test_a_folder_that_is_in_the_way_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_bytes("a/b", b"x")
    with pytest.raises(StoreError, match="cannot write 'a'"):
        store.write_bytes("a", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with pytest.raises(StoreError, match="cannot read"):
        store.exists("long" * 100)


def test_a_missing_file_is_not_an_empty_one(store: Store) -> None:
    store.write_bytes("log/empty", b"")
    assert store.exists("log/empty")
    assert store.read_bytes("log/empty") == b""
    # A folder is not a file.
    assert not store.exists("log")
    for missing in ("log/other", "log", "elsewhere/empty"):
        assert not store.exists(missing)
        with pytest.raises(MissingFile, match=missing):
            store.read_bytes(missing)
        with pytest.raises(MissingFile, match=missing):
            store.size(missing)
        with pytest.raises(MissingFile, match=missing):
            read(store, missing)
    with pytest.raises(MissingFile, match="materialized"):
        store.read_table("tables/none.parquet")


def test_sizes_has_the_files_directly_in_a_folder(store: Store) -> None:
    for relative, size in (("a/one", 1), ("a/two", 2), ("a/.hidden", 3), ("a/b/below", 4), ("ab/other", 5)):
        store.write_bytes(relative, bytes(size))
    assert store.sizes("a") == {"one": 1, "two": 2}
    assert store.sizes("a/b") == {"below": 4}
    assert store.size("a/b/below") == 4
    assert store.sizes("none") == {}
    assert store.sizes("a/one") == {}


def test_usage_has_the_top_level_folders(store: Store) -> None:
    assert store.usage() == {}
    for relative, size in (("report.html", 9), ("tables/x/a", 1), ("tables/b", 2), ("audio/c", 4)):
        store.write_bytes(relative, bytes(size))
    assert store.usage() == {"audio": (1, 4), "tables": (2, 3)}


def test_remove_removes_a_file_or_a_folder_and_nothing_else(store: Store) -> None:
    for relative in ("a/one", "a/b/two", "a.txt", "ab/three", "log/four", "log/five", "log/six"):
        store.write_bytes(relative, b"x")
    store.remove("a")
    assert [store.exists(name) for name in ("a/one", "a/b/two", "a.txt", "ab/three")] == [
        False,
        False,
        True,
        True,
    ]
    store.remove("a")
    store.remove("a.txt")
    store.remove_files(["log/four", "log/five", "log/none"])
    store.remove_files([])
    assert store.sizes("log") == {"six": 1}
    assert not store.exists("a.txt")


def test_names_of_any_alphabet_come_back(store: Store) -> None:
    name = "Ärger & 雨 + 100% (#1)?.flac"
    store.write_bytes(f"audio/{name}", b"x")
    assert store.sizes("audio") == {name: 1}
    assert store.read_bytes(f"audio/{name}") == b"x"
    store.remove("audio")
    assert store.sizes("audio") == {}


def test_tables_come_back_as_written(store: Store) -> None:
    tables = TableStore(store)
    size = tables.write(["recordings"], None, RECORDINGS)
    assert tables.read(["recordings"]).equals(RECORDINGS)
    assert store.sizes("tables/recordings") == {"all.parquet": size}


def test_one_or_all_partitions_are_read_with_their_dropped_clips(store: Store) -> None:
    tables = TableStore(store)
    for month, clip in (("2022-09", "a"), ("2022-10", "b")):
        dropped = DROPPED.from_rows([drop(f"{clip}2", "freesound", "audio", "audio_gone")])
        kept = AUDIO.from_rows([audio_row(clip)])
        tables.write(["freesound", "audio"], month, Stage(kept, dropped))
    assert tables.read(["freesound", "audio"]).column("clip_id").to_pylist() == ["a", "b"]
    one = tables.read_stage(["freesound", "audio"], ["2022-10"])
    assert one.kept.column("clip_id").to_pylist() == ["b"]
    assert one.dropped.column("clip_id").to_pylist() == ["b2"]
    with pytest.raises(StoreError, match=r"2022-11.*materialize freesound/audio, partition 2022-11, first"):
        tables.read(["freesound", "audio"], ["2022-11"])


def test_a_table_that_was_never_written_is_not_an_empty_one(store: Store) -> None:
    tables = TableStore(store)
    with pytest.raises(StoreError, match="materialize recordings first"):
        tables.read(["recordings"], [WHOLE])
    # A partitioned table may have no partitions yet.
    assert tables.read(["freesound", "audio"]).num_rows == 0


def test_a_table_that_does_not_match_its_schema_is_not_written(store: Store) -> None:
    tables = TableStore(store)
    with pytest.raises(SchemaError, match="recording"):
        tables.write(["recordings"], None, pa.table({"clip_id": ["a"]}))
    assert not tables.exists(["recordings"], None)


@pytest.mark.parametrize("partition", ["..", "a/b", ".hidden"])
def test_a_partition_is_a_plain_name(partition: str) -> None:
    with pytest.raises(StoreError, match="cannot be a path"):
        path_of(["freesound", "audio"], partition)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    file = tmp_path / "store.tar"
    file.write_bytes(b"")
    with pytest.raises(StoreError, match="is a file, and a store is a folder: see WAVCAPS_STORE"):
        Store(file)


@pytest.mark.parametrize("root", ["gs://bucket/wavcaps", "S3://bucket", Path("s3://bucket/wavcaps")])
def test_an_address_is_not_taken_for_a_folder(root: str | Path) -> None:
    with pytest.raises(StoreError, match=r"a store is a folder or s3://bucket/prefix"):
        Store(root)


def test_ids_have_no_dictionary_and_repeated_values_do(tmp_path: Path) -> None:
    """A dictionary of ids makes the file larger, and twice as slow to read."""
    rows = [audio_row(f"freesound-{number}", audio_path=f"audio/{number}.flac") for number in range(100)]
    Store(tmp_path).write_table("a.parquet", AUDIO.from_rows(rows), AUDIO)
    file = pq.ParquetFile(tmp_path / "a.parquet")
    columns = [file.metadata.row_group(0).column(place) for place in range(file.metadata.num_columns)]
    encoded = {column.path_in_schema: "RLE_DICTIONARY" in column.encodings for column in columns}
    assert not encoded["clip_id"] and not encoded["audio_path"] and encoded["source"]
    assert file.read().to_pylist() == AUDIO.from_rows(rows).to_pylist()
