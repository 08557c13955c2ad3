"""The bucket is gone for a while, in the middle of a crawl with its audio: the crawl waits, and goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.night.sites import serving_sites
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.crawl_everything import crawl_partition
from tests.support.gate import Gate, gate
from tests.support.s3 import REGION, connected, give_credentials, make_bucket
from wavcaps_assets.checks.ledgers import check_reconciled
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.network.client import Network
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store import bucket_requests, outages
from wavcaps_assets.store.bucket_requests import connect
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = pytest.mark.slow

SOURCE, PARTITION = "soundbible", "catalogue"


def test_no_sound_is_fetched_twice_when_the_bucket_is_gone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    give_credentials(monkeypatch)
    monkeypatch.setattr(bucket_requests, "ATTEMPTS", 1)
    monkeypatch.setattr(outages, "AGAIN_S", 0.1)
    caplog.set_level(logging.INFO)
    corpus = synthesised_corpus(tmp_path / "corpus", clips=40, scenes=2)
    with (
        serving_atomic_s3() as url,
        serving_sites(corpus) as sites,
        gate(int(url.rpartition(":")[2])) as to_server,
    ):
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", str(sites.port))
        monkeypatch.setenv("WAVCAPS_STATE", str(tmp_path / "state"))
        bucket = make_bucket(url, connected(url))
        client = connect(f"http://127.0.0.1:{to_server.port}", REGION)
        tables = TableStore(Store(bucket.root, client, waits=True))
        outage = threading.Thread(target=_twice_gone, args=(to_server, sites.sounds), daemon=True)
        outage.start()
        settings = Settings()
        (source,) = (one for one in all_sources(settings) if one.name == SOURCE)
        with Network(settings.state, settings.network, tables.store) as network:
            crawl_partition(source, PARTITION, network, tables, settings)
        outage.join(60)
        assert caplog.text.count("responds again") >= 2, "the bucket was not missed"
        assert sites.sounds and set(sites.sounds.values()) == {1}
        rows = tables.read([SOURCE, "audio"], [PARTITION]).to_pylist()
        assert len(rows) == len(sites.sounds)
        assert all(tables.store.exists(row["audio_path"]) for row in rows)
        assert check_reconciled(tables, SOURCE, PARTITION).passed


def _twice_gone(to_server: Gate, sounds: Counter[str]) -> None:
    """Shuts the gate when some sounds have been sent, and again later."""
    for sent in (3, 8):
        while sum(sounds.values()) < sent:
            time.sleep(0.01)
        to_server.shut()
        time.sleep(1.0)
        to_server.open()
