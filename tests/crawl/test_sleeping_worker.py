"""A worker that sleeps for longer than its lease, as in a suspended machine, and wakes up later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from tests.night.sites import serving_sites
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.crawl_everything import WORKERS
from tests.support.paths import ROOT
from tests.support.s3 import REGION, S3Bucket, connected, give_credentials, make_bucket
from wavcaps_assets.crawl.history import Event, History
from wavcaps_assets.crawl.one_process import one_process
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.network.pages import Page, PageLog
from wavcaps_assets.store import shared_leases
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, DROPPED
from wavcaps_assets.tables.asset_tables import TableStore, WrittenSince
from wavcaps_assets.tables.stage import Stage

FACTOR = 20
SOURCE, PARTITION = "soundbible", "catalogue"
PAGE = Page(200, b"text")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    give_credentials(monkeypatch)
    with serving_atomic_s3() as url:
        yield make_bucket(url, connected(url))


def test_who_slept_for_longer_than_a_lease_writes_nothing(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(bucket.root, bucket.client)
    # A thread of a process that sleeps renews nothing.
    monkeypatch.setattr(shared_leases, "_renew", lambda leases, done: None)
    up_s = shared_leases._up_s
    with one_process(store, SOURCE, PARTITION) as still_alone:
        history = History(store, SOURCE, PARTITION, still_alone)
        pages = PageLog(store, "log/pages/x", None, still_alone)
        history.add(Event.STORED, "soundbible-1", "fetch")
        pages.add("key", "url", PAGE)
        # The other one looks again and again, for two minutes.
        others = shared_leases.SharedLeases(store, "log/clips", "leases")
        passed_s = 0
        monkeypatch.setattr(shared_leases, "_up_s", lambda: up_s() + passed_s)
        while passed_s < 120:
            assert not others.exchange([f"{SOURCE}/{PARTITION}"])
            passed_s += 25
        assert others.exchange([f"{SOURCE}/{PARTITION}"])
        for write in (
            lambda: history.add(Event.STORED, "soundbible-2", "fetch"),
            lambda: pages.add("key", "url", PAGE),
            pages.discard,
        ):
            with pytest.raises(StoreError, match="another process may have taken it: start the run again"):
                write()
    assert [event["clip_id"] for event in History(store, SOURCE, PARTITION)] == ["soundbible-1"]
    assert PageLog(store, "log/pages/x", None).get("key") is not None
    # Nor does it take the lease away from the other one.
    others.require(f"{SOURCE}/{PARTITION}")


def test_the_events_of_several_threads_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock stands still, and threads change as often as they can.
    monkeypatch.setattr("wavcaps_assets.crawl.history.utc_now", lambda: datetime(2026, 11, 1, tzinfo=UTC))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with History(Store(tmp_path), SOURCE, PARTITION) as history, ThreadPoolExecutor(8) as pool:
            adding = [pool.submit(history.add, Event.STORED, f"soundbible-{n}", "fetch") for n in range(200)]
            for one in adding:
                one.result()
    finally:
        sys.setswitchinterval(interval)
    times = [event["at"] for event in History(Store(tmp_path), SOURCE, PARTITION)]
    assert len(times) == 200 and len(set(times)) == 200


def test_a_table_that_was_written_since_is_kept(tmp_path: Path) -> None:
    tables, key = TableStore(Store(tmp_path)), [SOURCE, "audio"]

    def stage(crawl: str, replaces: str | None) -> Stage:
        return Stage(AUDIO.empty(), DROPPED.empty(), crawl, replaces=replaces)

    tables.write(key, PARTITION, stage("first", ""))
    # A run that is repeated writes its own table again.
    tables.write(key, PARTITION, stage("first", ""))
    tables.write(key, PARTITION, stage("second", "first"))
    with pytest.raises(WrittenSince, match="was written by another process while this one worked"):
        tables.write(key, PARTITION, stage("late", "first"))
    with pytest.raises(WrittenSince):
        tables.write(key, PARTITION, stage("late", ""))
    assert tables.crawl_id_of(key, PARTITION) == "second"
    tables.write(key, PARTITION, stage("imported", None))
    assert tables.crawl_id_of(key, PARTITION) == "imported"


@pytest.mark.soak
def test_a_stopped_worker_is_replaced_and_does_not_write_when_it_goes_on(
    bucket: S3Bucket, tmp_path: Path
) -> None:
    corpus = synthesised_corpus(tmp_path / "corpus", clips=60, scenes=2)
    with serving_sites(corpus) as sites:
        environment = {
            **os.environ,
            "WAVCAPS_STORE": bucket.root,
            "WAVCAPS_S3__ENDPOINT_URL": bucket.url,
            "AWS_DEFAULT_REGION": REGION,
            "WAVCAPS_EMBEDDED_SOURCES_PORT": str(sites.port),
        }

        def start(name: str) -> subprocess.Popen[str]:
            own = environment | {"WAVCAPS_STATE": str(tmp_path / name)}
            command = [sys.executable, "-m", "tests.crawl.worker", str(FACTOR)]
            pipe = subprocess.PIPE
            return subprocess.Popen(command, cwd=ROOT, env=own, stdout=pipe, stderr=pipe, text=True)

        sleeper = start("sleeper")
        until = time.monotonic() + 60
        while len(sites.sounds) < 5 and time.monotonic() < until:
            time.sleep(0.01)
        sleeper.send_signal(signal.SIGSTOP)
        fetched = sum(sites.sounds.values())
        assert fetched >= 5, "it was not stopped in the middle"
        with start("other") as other:
            assert other.communicate(timeout=300)[0] == "ready\ndone\n"
        store = Store(bucket.root, bucket.client)
        tables, before = TableStore(store), written(store)
        sleeper.send_signal(signal.SIGCONT)
        _, said = sleeper.communicate(timeout=120)
        assert sleeper.returncode != 0 and "another process may have taken it" in said, said[-2000:]
    assert written(store) == before
    assert tables.partitions([SOURCE, "audio"]) == [PARTITION]
    # What was on its way when it was stopped was fetched again, and nothing else.
    assert sum(times - 1 for times in sites.sounds.values()) <= 2 * WORKERS


def written(store: Store) -> tuple[Counter[str], pa.Table]:
    """All events of audio of all partitions, and the tables."""
    tables = TableStore(store)
    events: Counter[str] = Counter()
    rows = []
    for source in ("freesound", "bbc_sound_effects", "soundbible", "audioset_sl"):
        for partition in tables.partitions([source, "audio"]):
            rows.append(tables.read([source, "audio"], [partition]))
            history = History(store, source, partition)
            events.update(f"{event['event']} {event['clip_id']} {event['at']}" for event in history)
    return events, pa.concat_tables(rows)
