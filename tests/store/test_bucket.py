"""A store in a bucket: where S3 differs from a folder, and the errors of a store that fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import httpx
import pyarrow as pa
import pytest
from dagster_aws.s3 import S3Resource

from tests.support.paths import ROOT
from tests.support.rows import audio_row
from tests.support.s3 import REGION, SECRET, S3Bucket
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings
from wavcaps_assets.store import bucket as bucket_module
from wavcaps_assets.store.storage import MissingFile, Store, StoreError, open_store
from wavcaps_assets.tables import AUDIO, DROPPED, RECORDINGS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.collect import collect


def read(store: Store) -> None:
    with store.reading("a/one.flac"):
        pass


def write(store: Store) -> None:
    with store.writing("a/one.flac") as path:
        path.write_bytes(b"x")


USES: list[Callable[[Store], object]] = [
    read,
    write,
    Store.usage,
    lambda store: store.exists("a/one.flac"),
    lambda store: store.sizes("a"),
    lambda store: store.read_bytes("a/one.flac"),
    lambda store: store.write_bytes("a/one.flac", b"x"),
    lambda store: store.remove("a"),
    lambda store: store.remove_files(["a/one.flac"]),
    lambda store: store.read_table("a/one.parquet"),
]


def failures(store: Store) -> Iterator[str]:
    """The message of each failure; none contains the secret."""
    for use in USES:
        with pytest.raises(StoreError) as raised:
            use(store)
        assert not isinstance(raised.value, MissingFile)
        assert SECRET not in "".join(traceback.format_exception(raised.value))
        yield str(raised.value)


@pytest.fixture
def store(bucket: S3Bucket) -> Store:
    return Store(bucket.root, bucket.client)


def test_objects_are_under_the_prefix(store: Store, bucket: S3Bucket) -> None:
    store.write_bytes("report.html", b"<!doctype html>")
    stored = bucket.client.get_object(Bucket=bucket.name, Key="data/wavcaps/report.html")
    assert stored["Body"].read() == b"<!doctype html>"
    # A browser shows it instead of saving it.
    assert stored["ContentType"] == "text/html"
    assert store.describe("report.html") == f"s3://{bucket.name}/data/wavcaps/report.html"


@pytest.mark.parametrize("end", ["", "/", "/data", "/data/wavcaps/"])
def test_a_prefix_may_be_empty_and_may_end_with_a_slash(bucket: S3Bucket, end: str) -> None:
    store = Store(f"s3://{bucket.name}{end}", bucket.client)
    store.write_bytes("tables/a", b"x")
    key = f"{end.strip('/')}/tables/a".lstrip("/")
    (found,) = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert found["Key"] == key
    assert store.sizes("tables") == {"a": 1}
    assert store.usage() == {"tables": (1, 1)}
    assert store.describe("tables/a") == f"s3://{bucket.name}/{key}"


def test_a_long_listing_comes_in_pages(
    store: Store, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The defaults, for a page of the server and for one request to delete, are 1000.
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    monkeypatch.setattr(bucket_module, "BATCH", 10)
    for number in range(35):
        store.write_bytes(f"audio/{number:02d}.flac", bytes(number))
    store.write_bytes("audio/below/x.flac", b"x")
    assert not bucket.client.list_objects_v2(Bucket=bucket.name)["KeyCount"] > 10
    assert store.sizes("audio") == {f"{number:02d}.flac": number for number in range(35)}
    assert store.usage() == {"audio": (36, sum(range(35)) + 1)}
    store.remove_files([f"audio/{number:02d}.flac" for number in range(20)])
    assert len(store.sizes("audio")) == 15
    store.remove("audio")
    assert store.usage() == {}


def test_a_big_file_is_sent_in_parts(store: Store, bucket: S3Bucket) -> None:
    content = os.urandom(9_000_000)
    with store.writing("checkpoints/weights.safetensors") as path:
        path.write_bytes(content)
    stored = bucket.client.head_object(Bucket=bucket.name, Key="data/wavcaps/checkpoints/weights.safetensors")
    assert stored["ETag"].endswith('-2"')
    with store.reading("checkpoints/weights.safetensors") as path:
        assert path.read_bytes() == content
    assert not path.exists()


def test_a_marker_of_an_empty_folder_is_not_a_file(store: Store, bucket: S3Bucket) -> None:
    # The consoles of Amazon and others write such markers.
    bucket.client.put_object(Bucket=bucket.name, Key="data/wavcaps/audio/", Body=b"")
    assert store.sizes("audio") == {}
    assert store.usage() == {}


def test_what_needs_a_folder_says_what_to_do(store: Store) -> None:
    for use in (lambda: store.root, lambda: store.path("audio/a.flac")):
        with pytest.raises(StoreError, match=r"is a bucket.*aws s3 sync.*WAVCAPS_STORE"):
            use()


def test_a_missing_bucket_is_not_reported_as_a_missing_file(bucket: S3Bucket) -> None:
    for message in failures(Store("s3://wavcaps-absent/data", bucket.client)):
        assert "s3://wavcaps-absent/data" in message
        assert "NoSuchBucket" in message
        assert "WAVCAPS_STORE" in message


def test_a_server_that_does_not_answer_is_named(bucket: S3Bucket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = S3Resource(endpoint_url=f"http://127.0.0.1:{port}", max_attempts=1).get_client()
    for message in failures(Store(bucket.root, client)):
        assert f"127.0.0.1:{port}" in message
        assert "WAVCAPS_S3__ENDPOINT_URL" in message


@pytest.fixture
def guarded(bucket: S3Bucket) -> Iterator[S3Bucket]:
    """A bucket whose server now checks credentials."""
    reset = f"{bucket.url}/moto-api/reset-auth"
    httpx.post(reset, content="0").raise_for_status()
    yield bucket
    httpx.post(reset, content="inf").raise_for_status()


def test_credentials_that_are_refused_are_not_shown(guarded: S3Bucket) -> None:
    for message in failures(Store(guarded.root, guarded.client)):
        assert guarded.root in message
        assert "AWS_ACCESS_KEY_ID" in message
        assert "AKIATEST" not in message


def test_missing_credentials_are_requested(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for message in failures(open_store(bucket.root, bucket.url)):
        assert "there are no credentials; set AWS_ACCESS_KEY_ID" in message


@pytest.mark.parametrize(
    "root",
    [
        "s3://",
        "s3:///wavcaps",
        "s3://Upper/wavcaps",
        "s3://under_score",
        f"s3://key:{SECRET}@bucket/wavcaps",
        "s3://bucket/../wavcaps",
        "s3://bucket/a//b",
    ],
)
def test_an_address_without_a_valid_bucket_is_refused(root: str, bucket: S3Bucket) -> None:
    with pytest.raises(StoreError, match="WAVCAPS_STORE") as raised:
        Store(root, bucket.client)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("endpoint", [f"https://key:{SECRET}@s3.example.org", "s3.example.org", "ftp://x"])
def test_an_endpoint_is_an_address_without_credentials(endpoint: str) -> None:
    with pytest.raises(StoreError, match="WAVCAPS_S3__ENDPOINT_URL") as raised:
        open_store("s3://bucket", endpoint)
    assert SECRET not in str(raised.value)


def test_a_temporary_copy_that_does_not_fit_is_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.write_bytes("a.txt", b"old")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(StoreError, match="TMPDIR"), store.writing("a.txt"):
        pass
    with pytest.raises(StoreError, match="TMPDIR"), store.reading("a.txt"):
        pass
    assert store.read_bytes("a.txt") == b"old"


@pytest.mark.slow
def test_dagster_materializes_into_a_bucket(bucket: S3Bucket) -> None:
    @dg.asset
    def recordings() -> pa.Table:
        return RECORDINGS.from_rows([{"clip_id": "a", "recording": "r"}])

    @dg.asset(key=["freesound", "audio"], partitions_def=dg.StaticPartitionsDefinition(["2022-09"]))
    def audio(recordings: pa.Table, store: StoreResource) -> Stage:
        (clip,) = recordings.column("clip_id").to_pylist()
        assert store.tables().exists(["recordings"], None)
        gone = drop("b", "freesound", "audio", "audio_gone")
        return Stage(AUDIO.from_rows([audio_row(clip)]), DROPPED.from_rows([gone]))

    given = StoreResource(root=bucket.root, endpoint_url=bucket.url, region=REGION)
    resources_of_run = {"store": given, "io_manager": TableIOManager(store=given)}
    assert dg.materialize([recordings], resources=resources_of_run).success
    made = dg.materialize(
        [recordings, audio], resources=resources_of_run, selection=[audio], partition_key="2022-09"
    )
    assert made.success
    tables = given.tables()
    stage = tables.read_stage(["freesound", "audio"], ["2022-09"])
    assert stage.kept.column("clip_id").to_pylist() == ["a"]
    assert stage.dropped.column("clip_id").to_pylist() == ["b"]
    assert {size.folder: size.files for size in collect(tables, [], DEMO_EXPERIMENT).sizes} == {"tables": 3}
    assert SECRET not in "".join(str(event) for event in made.all_events)


def test_the_store_is_one_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WAVCAPS_STORE", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert Settings().store_folder == tmp_path / "store"
    assert Settings().state == tmp_path / "state"
    monkeypatch.setenv("WAVCAPS_STORE", "s3://my-bucket/wavcaps")
    monkeypatch.setenv("WAVCAPS_S3__ENDPOINT_URL", "https://minio.example.org:9000")
    monkeypatch.setenv("WAVCAPS_S3__REGION", "eu-west-2")
    settings = Settings()
    given = resources(settings)["store"]
    assert (given.root, given.endpoint_url, given.region) == (
        "s3://my-bucket/wavcaps",
        "https://minio.example.org:9000",
        "eu-west-2",
    )
    with pytest.raises(ValueError, match="WAVCAPS_STORE"):
        _ = settings.store_folder


@pytest.mark.slow
def test_a_folder_needs_nothing_of_amazon_s(tmp_path: Path) -> None:
    program = (
        "import sys; from wavcaps_assets.definitions import defs; defs()\n"
        "from wavcaps_assets.store.storage import open_store\n"
        "store = open_store(sys.argv[1]); store.write_bytes('a', b'x'); store.sizes('a')\n"
        "print(*{'boto3', 'botocore', 'dagster_aws', 's3transfer'} & sys.modules.keys())"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_tables_of_all_partitions_are_found(store: Store) -> None:
    tables = TableStore(store)
    for month in ("2022-10", "2022-09"):
        tables.write(["freesound", "audio"], month, AUDIO.from_rows([audio_row(month)]))
    assert tables.read(["freesound", "audio"]).column("clip_id").to_pylist() == ["2022-09", "2022-10"]
    assert tables.read_dropped(["freesound", "audio"]).num_rows == 0
