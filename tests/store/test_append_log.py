"""A log loses no record that was appended, in a folder and in a bucket."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.gate import Gate, gate
from tests.support.paths import ROOT
from tests.support.s3 import REGION, S3Bucket
from wavcaps_assets.store import bucket_requests, log_objects, outages
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.bucket_requests import connect
from wavcaps_assets.store.storage import Store, StoreError

FOLDER = "log/answers"


def answers(store: Store) -> list[int]:
    return [record["answer"] for record in AppendLog(store, FOLDER).read()]


def test_records_come_back_oldest_segment_first(store: Store) -> None:
    with AppendLog(store, FOLDER) as log:
        log.append({"answer": 1})
        log.append_many([{"answer": 2}, {"answer": 3, "text": "Ärger\n\u2028"}])
        log.append_many([])
        assert [record["answer"] for record in log.read()] == [1, 2, 3]
    with AppendLog(store, FOLDER) as log:
        log.append({"answer": 4})
    assert answers(store) == [1, 2, 3, 4]
    assert list(AppendLog(store, FOLDER).read())[2]["text"] == "Ärger\n\u2028"


def test_a_log_that_is_only_read_is_not_created(store: Store) -> None:
    with AppendLog(store, FOLDER) as log:
        assert list(log.read()) == []
        log.append_many([])
    assert store.usage() == {}


def test_two_writers_lose_nothing(store: Store) -> None:
    with AppendLog(store, FOLDER) as one, AppendLog(store, FOLDER) as other:
        for index in range(12):
            (one if index % 2 else other).append({"answer": index})
    assert sorted(answers(store)) == list(range(12))
    assert len(store.sizes(FOLDER)) == 2


@pytest.fixture
def gone(s3_server: str, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Gate, Store]]:
    """A step's bucket behind a gate. One attempt each, so that an outage is short."""
    monkeypatch.setattr(bucket_requests, "ATTEMPTS", 1)
    monkeypatch.setattr(outages, "AGAIN_S", 0.05)
    with gate(int(s3_server.rpartition(":")[2])) as to_server:
        client = connect(f"http://127.0.0.1:{to_server.port}", REGION)
        yield to_server, Store(bucket.root, client, waits=True)


def test_what_is_appended_while_the_server_is_gone_is_there_afterwards(gone: tuple[Gate, Store]) -> None:
    to_server, store = gone
    with AppendLog(store, FOLDER) as log, ThreadPoolExecutor(1) as pool:
        log.append({"answer": 1})
        to_server.shut()
        waiting = pool.submit(log.append, {"answer": 2})
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        to_server.open()
        waiting.result(30)
    assert answers(store) == [1, 2]


def test_a_server_that_stays_away_is_an_error(
    gone: tuple[Gate, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "OUTAGE_S", 0.2)
    to_server, store = gone
    with AppendLog(store, FOLDER) as log:
        log.append({"answer": 1})
        to_server.shut()
        with pytest.raises(StoreError, match="does not respond"):
            log.append({"answer": 2})
        to_server.open()


def test_threads_append_to_one_log(store: Store) -> None:
    with AppendLog(store, FOLDER) as log, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: log.append({"answer": index}), range(80)))
    assert sorted(answers(store)) == list(range(80))


def test_an_incomplete_last_line_loses_only_that_record(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with AppendLog(store, FOLDER) as log:
        log.append_many([{"answer": 1}, {"answer": 2}])
    (segment,) = store.sizes(FOLDER)
    store.write_bytes(f"{FOLDER}/{segment}", store.read_bytes(f"{FOLDER}/{segment}") + b'{"answer": 3')
    with AppendLog(store, FOLDER) as log:
        log.append({"answer": 4})
    assert answers(store) == [1, 2, 4]
    assert f"{segment}, line 3" in caplog.text


def test_a_line_cut_by_a_full_disk_does_not_damage_the_next(tmp_path: Path) -> None:
    # A limit on the file size has the same effect as a full disk: the kernel cuts the write.
    program = (
        "import resource, signal, sys\n"
        "from wavcaps_assets.store.append_log import AppendLog\n"
        "from wavcaps_assets.store.storage import Store, StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "log = AppendLog(Store(sys.argv[1]), 'log/answers')\n"
        "log.append({'answer': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    log.append({'answer': 2, 'text': 'x' * 200})\n"
        "except StoreError as error:\n"
        "    print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "log.append({'answer': 3})\n"
        "log.close()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "WAVCAPS_STORE" in result.stdout
    assert answers(Store(tmp_path)) == [1, 3]


def test_a_killed_writer_loses_nothing_in_a_bucket(bucket: S3Bucket) -> None:
    program = (
        "import os, signal, sys\n"
        "from wavcaps_assets.store.append_log import AppendLog\n"
        "from wavcaps_assets.store.storage import open_store\n"
        "log = AppendLog(open_store(sys.argv[1], sys.argv[2]), 'log/answers')\n"
        "log.append({'answer': 1}); log.append({'answer': 2})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, bucket.root, bucket.url], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert answers(Store(bucket.root, bucket.client)) == [1, 2]


def test_a_writer_merges_its_segments(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_objects, "MERGED_SEGMENTS", 10)
    store = Store(bucket.root, bucket.client)
    with AppendLog(store, FOLDER) as log:
        for index in range(25):
            log.append({"answer": index})
        assert len(store.sizes(FOLDER)) == 2 + 5
    assert len(store.sizes(FOLDER)) == 3
    assert answers(store) == list(range(25))


def test_large_records_are_merged_before_they_fill_the_memory(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_objects, "MERGED_BYTES", 1000)
    store = Store(bucket.root, bucket.client)
    with AppendLog(store, FOLDER) as log:
        for index in range(4):
            log.append({"answer": index, "page": "x" * 600})
            assert len(store.sizes(FOLDER)) == (1, 1, 2, 2)[index]
    assert answers(store) == list(range(4))


@pytest.mark.slow
def test_segments_merged_during_a_read_are_read(bucket: S3Bucket) -> None:
    store = Store(bucket.root, bucket.client)
    log = AppendLog(store, FOLDER)
    written = log_objects.READ_AHEAD + 5
    for index in range(written):
        log.append({"answer": index})
    reader = AppendLog(store, FOLDER).read()
    first = next(reader)["answer"]
    log.close()
    assert len(store.sizes(FOLDER)) == 1
    # Records may appear twice, and none is lost.
    assert {first, *(record["answer"] for record in reader)} == set(range(written))


def killed_writers(store: Store, segments: int) -> None:
    """Leaves what killed writers leave: a segment per call, and nobody who merges them."""
    for number in range(segments):
        AppendLog(store, FOLDER).append({"answer": number})


@pytest.mark.slow
def test_segments_of_killed_writers_are_merged_by_a_reader(bucket: S3Bucket) -> None:
    store = Store(bucket.root, bucket.client)
    killed_writers(store, log_objects.MAX_SMALL_SEGMENTS + 50)
    expected = list(range(log_objects.MAX_SMALL_SEGMENTS + 50))
    assert answers(store) == expected
    assert len(store.sizes(FOLDER)) == 1
    requests: list[str] = []
    bucket.client.meta.events.register(
        "before-call.s3", count := lambda model, **_: requests.append(model.name)
    )
    try:
        assert answers(store) == expected
    finally:
        bucket.client.meta.events.unregister("before-call.s3", count)
    assert requests == ["ListObjectsV2", "GetObject"]


def test_a_short_log_is_only_read(bucket: S3Bucket) -> None:
    store = Store(bucket.root, bucket.client)
    killed_writers(store, 20)
    names = set(store.sizes(FOLDER))
    assert answers(store) == list(range(20))
    assert set(store.sizes(FOLDER)) == names


def test_large_segments_are_not_merged_again(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_objects, "MAX_SMALL_SEGMENTS", 3)
    monkeypatch.setattr(log_objects, "MERGED_BYTES", 1000)
    store = Store(bucket.root, bucket.client)
    large = {"answer": 100, "page": "x" * 900}
    for number in range(8):
        AppendLog(store, FOLDER).append({"answer": number})
        if number == 3:
            AppendLog(store, FOLDER).append(large)
    for _ in range(3):
        assert answers(store) == [0, 1, 2, 3, 100, 4, 5, 6, 7]
        assert len(store.sizes(FOLDER)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["write_bytes", "remove_files"])
def test_a_reader_killed_while_it_merges_loses_nothing(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(log_objects, "MAX_SMALL_SEGMENTS", 5)
    store = Store(bucket.root, bucket.client)
    killed_writers(store, 12)
    program = (
        "import os, signal, sys\n"
        "from wavcaps_assets.store import log_objects\n"
        "from wavcaps_assets.store.append_log import AppendLog\n"
        "from wavcaps_assets.store.storage import Store, open_store\n"
        "log_objects.MAX_SMALL_SEGMENTS = 5\n"
        f"Store.{method} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "list(AppendLog(open_store(sys.argv[1], sys.argv[2]), 'log/answers').read())\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, bucket.root, bucket.url], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    for _ in range(2):
        # Records may appear twice, and none is lost.
        assert set(answers(store)) == set(range(12))
    assert len(store.sizes(FOLDER)) == 1


@pytest.mark.slow
def test_readers_and_writers_at_the_same_time_lose_nothing(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_objects, "MAX_SMALL_SEGMENTS", 4)
    monkeypatch.setattr(log_objects, "MERGED_SEGMENTS", 7)
    store = Store(bucket.root, bucket.client)

    def write(writer: int) -> None:
        with AppendLog(store, FOLDER) as log:
            for number in range(25):
                log.append({"answer": 100 * writer + number})

    def read(_: int) -> None:
        for _ in range(4):
            list(AppendLog(store, FOLDER).read())

    with ThreadPoolExecutor(6) as pool:
        for done in [*(pool.submit(write, n) for n in range(3)), *(pool.submit(read, n) for n in range(3))]:
            done.result()
    assert set(answers(store)) == {100 * writer + number for writer in range(3) for number in range(25)}


def test_a_writer_whose_segments_a_reader_merged_writes_no_record_twice(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_objects, "MAX_SMALL_SEGMENTS", 4)
    store = Store(bucket.root, bucket.client)
    with AppendLog(store, FOLDER) as log:
        for number in range(10):
            log.append({"answer": number})
        assert answers(store) == list(range(10))
        log.append({"answer": 10})
    assert answers(store) == list(range(11))


def test_a_reader_without_the_right_to_remove_reads_all_and_adds_nothing(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_objects, "MAX_SMALL_SEGMENTS", 4)
    store = Store(bucket.root, bucket.client)
    killed_writers(store, 10)
    names = set(store.sizes(FOLDER))

    def refuse(model: object, params: dict[str, Any], **_: object) -> None:
        if "-joined" not in str(params["body"]):
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObjects")

    bucket.client.meta.events.register("before-call.s3.DeleteObjects", refuse)
    try:
        assert answers(store) == list(range(10))
    finally:
        bucket.client.meta.events.unregister("before-call.s3.DeleteObjects", refuse)
    assert set(store.sizes(FOLDER)) == names
    assert "not merged" in caplog.text
