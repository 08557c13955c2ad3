"""The same crawl, into a bucket of S3: the same tables and the same audio as in a folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.crawl_everything import crawl_partition
from tests.support.s3 import S3Bucket
from wavcaps_assets.checks.ledgers import check_reconciled
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import HostDown
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = pytest.mark.slow

TIMES = {"crawled_at", "first_crawled_at", "fetched_at"}


def test_a_crawl_into_a_bucket_is_the_same(
    tmp_path: Path, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = synthesised_corpus(tmp_path / "corpus", clips=12, scenes=4)
    folder, s3 = (
        TableStore(Store(tmp_path / "store")),
        TableStore(Store(bucket.root, bucket.client)),
    )
    with running_server(corpus) as url:
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        monkeypatch.setenv("WAVCAPS_STATE", str(tmp_path / "state"))
        settings = Settings()
        sources = all_sources(settings)
        for tables in (folder, s3):
            with Network(settings.state, settings.network) as network:
                for source in sources:
                    for partition in source.partitions():
                        crawl_partition(source, partition, network, tables, settings)
    for source in sources:
        for asset in ("raw_clips", "audio"):
            ours, theirs = (tables.read([source.name, asset]) for tables in (s3, folder))
            timeless = [name for name in ours.column_names if name not in TIMES]
            assert ours.select(timeless).equals(theirs.select(timeless))
        for partition in source.partitions():
            assert check_reconciled(s3, source.name, partition).passed
        for row in s3.read([source.name, "audio"]).to_pylist():
            assert s3.store.read_bytes(row["audio_path"]) == folder.store.read_bytes(row["audio_path"])

    # What is stored is not fetched again, though nobody is there to be asked.
    with Network(settings.state, settings.network) as network:
        for source in sources:
            for partition in source.partitions():
                # A sound that was lost is requested again: the partition pauses, as its host is down.
                with suppress(HostDown):
                    crawl_partition(source, partition, network, s3, settings)
