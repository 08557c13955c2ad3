"""What the store holds of a source: the partitions that are finished, and whether the demo made them."""

from __future__ import annotations

import re

from wavcaps_assets.tables.asset_tables import TableStore

# The demo's server, whose port may be another one.
DEMO_AUDIO = re.compile(r"http://127\.0\.0\.1:\d+/(freesound|bbc-media|soundbible|audioset)/")


def finished_partitions(tables: TableStore, source: str) -> set[str]:
    """The partitions of which nothing is missing: those with a ledger, the last table that a crawl makes.

    Args:
        source: the source's name.
    """
    return set(tables.partitions([source, "ledger"]))


def listed_partitions(tables: TableStore, source: str) -> set[str]:
    """The partitions whose clips are known, with their audio or without."""
    return set(tables.partitions([source, "raw_clips"]))


def is_of_demo(tables: TableStore, source: str) -> bool:
    """Whether the store has clips of this source from the demo's server, which are not those of the site.

    Versions before 0.2 kept the demo's store where that of live sources is.
    """
    for partition in sorted(listed_partitions(tables, source)):
        urls = tables.read([source, "raw_clips"], [partition], ["audio_url"])
        if urls.num_rows:
            return bool(DEMO_AUDIO.match(urls.column("audio_url")[0].as_py()))
    return False
