"""Two workers with separate disks crawl the same partitions into one bucket: no sound is fetched twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.night.sites import Sites, serving_sites
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.crawl_everything import WORKERS, crawl_partition
from tests.support.paths import ROOT
from tests.support.s3 import REGION, S3Bucket, connected, give_credentials, make_bucket
from wavcaps_assets.checks.ledgers import check_reconciled
from wavcaps_assets.crawl.one_process import one_process as only
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store import exclusive, shared_leases
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

# A minute lasts three seconds.
FACTOR = 20
PER_MINUTE = 60
KILLS = 12
SEED = 2411


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    give_credentials(monkeypatch)
    with serving_atomic_s3() as url:
        yield make_bucket(url, connected(url))


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(tmp_path)
    bucket: S3Bucket = request.getfixturevalue("bucket")
    return Store(bucket.root, bucket.client)


def test_the_second_worker_pauses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive, "WAIT_S", 0.01)
    with only(store, "bbc", "2026-10"), only(store, "bbc", "2026-09"):
        with pytest.raises(Paused, match="another process works on the partition 2026-10 of bbc") as pause:
            only(store, "bbc", "2026-10").__enter__()
        assert timedelta(minutes=5) < pause.value.until - datetime.now(UTC) < timedelta(minutes=15)
    with only(store, "bbc", "2026-10"):
        pass


def crawled_whole(bucket: S3Bucket) -> None:
    tables = TableStore(Store(bucket.root, bucket.client))
    for source in all_sources(Settings()):
        for partition in source.partitions():
            assert check_reconciled(tables, source.name, partition).passed


@pytest.mark.slow
def test_two_workers_at_one_partition(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_leases, "POLL_S", 0.05)
    corpus = synthesised_corpus(tmp_path / "corpus", clips=12, scenes=4)
    with serving_sites(corpus) as sites:
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", str(sites.port))
        settings = Settings()
        (source,) = (one for one in all_sources(settings) if one.name == "soundbible")

        def worker(name: str) -> None:
            own = settings.model_copy(update={"state": tmp_path / name})
            tables = TableStore(Store(bucket.root, bucket.client))
            with Network(own.state, own.network, tables.store) as network:
                crawl_partition(source, source.partitions()[0], network, tables, own)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(worker, ("one", "other")))
    assert set(sites.sounds.values()) == {1} and len(sites.sounds) >= 3
    tables = TableStore(Store(bucket.root, bucket.client))
    assert check_reconciled(tables, source.name, source.partitions()[0]).passed
    assert tables.read([source.name, "audio"]).num_rows == len(sites.sounds)


@pytest.mark.soak
def test_two_workers_of_which_one_is_killed_again_and_again(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = synthesised_corpus(tmp_path / "corpus", clips=90, scenes=30)
    with serving_sites(corpus) as sites:
        host = f"127.0.0.1:{sites.port}"
        environment = {
            **os.environ,
            "WAVCAPS_STORE": bucket.root,
            "WAVCAPS_S3__ENDPOINT_URL": bucket.url,
            "AWS_DEFAULT_REGION": REGION,
            "WAVCAPS_EMBEDDED_SOURCES_PORT": str(sites.port),
            "WAVCAPS_NETWORK__QUOTAS": json.dumps({host: {"per_minute": PER_MINUTE}}),
        }
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", str(sites.port))

        def start(name: str) -> subprocess.Popen[str]:
            own = environment | {"WAVCAPS_STATE": str(tmp_path / name)}
            command = [sys.executable, "-m", "tests.crawl.worker", str(FACTOR)]
            return subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.PIPE, text=True)

        moments = random.Random(SEED)
        living, kills = start("one"), 0
        while kills < KILLS and living.poll() is None:
            with start("other") as killed:
                assert killed.stdout is not None and killed.stdout.readline() == "ready\n"
                time.sleep(moments.uniform(0, 6))
                kills += killed.poll() is None
                killed.kill()
        with start("other") as last:
            assert last.communicate(timeout=600)[0] == "ready\ndone\n"
        assert living.communicate(timeout=600)[0] == "ready\ndone\n"
        crawled_whole(bucket)
    check_counts(sites, kills)


def check_counts(sites: Sites, kills: int) -> None:
    assert kills > 0
    # What was on its way to a killed worker is fetched again, and nothing else.
    assert sum(times - 1 for times in sites.sounds.values()) <= kills * WORKERS
    assert sites.most_in(60 / FACTOR) <= PER_MINUTE
