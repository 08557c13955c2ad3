"""A program that crawls the demo's sources with their audio, as the assets do, to be killed at any moment.

`python -m tests.support.crawl_everything`, with the settings of `settings.py` in the environment. Prints
`ready` when its work begins and `done` when all is there.
"""

from __future__ import annotations

from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.crawl.crawl import crawl
from wavcaps_assets.crawl.ledger import ledger_of
from wavcaps_assets.network.client import Network
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import Source
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import TableStore

WORKERS = 3


def main() -> None:
    settings = Settings()
    tables = TableStore(open_store(settings.store, settings.s3.endpoint_url or None))
    print("ready", flush=True)  # noqa: T201
    with Network(settings.state, settings.network, tables.store) as network:
        for source in all_sources(settings):
            for partition in source.partitions():
                # As the schedule does: a partition is done when its ledger is there.
                if not tables.exists([source.name, "ledger"], partition):
                    crawl_partition(source, partition, network, tables, settings)
    print("done", flush=True)  # noqa: T201


def crawl_partition(
    source: Source, partition: str, network: Network, tables: TableStore, settings: Settings
) -> None:
    """What the three assets of a partition do, one after the other."""
    if not tables.exists([source.name, "raw_clips"], partition):
        tables.write([source.name, "raw_clips"], partition, crawl(source, partition, network, tables).stage)
    clips = tables.read([source.name, "raw_clips"], [partition])
    origin = Origin(network, settings.state / "partial")
    audio = fetch_audio(source, partition, clips, tables, origin, FetchSettings(workers=WORKERS))
    tables.write([source.name, "audio"], partition, audio)
    tables.write([source.name, "ledger"], partition, ledger_of(tables, source.name, partition))


if __name__ == "__main__":
    main()
