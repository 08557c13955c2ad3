"""The ledger of a source: what became of each clip that was ever listed."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from wavcaps_assets.crawl.history import TEMPORARY, History
from wavcaps_assets.crawl.past_fetches import PastFetches
from wavcaps_assets.tables.asset_tables import TableStore

STORED, GONE, WAITING, DROPPED, FAILED = "stored", "gone", "waiting", "dropped", "failed"
STATUSES = """
    with listing as (
        select clip_id, partition, arg_max({'event': event, 'reason': reason}, "at") as last
        from ledger
        where event in ('listed', 'changed', 'gone', 'returned', 'set_aside', 'resolved')
        group by clip_id, partition
    ), audio as (
        select clip_id, arg_max({'event': event, 'reason': reason}, "at") as last
        from ledger
        where event in ('stored', 'failed')
        group by clip_id
    )
    select clip_id, partition, case
        when listing.last.event = 'set_aside' then 'dropped: ' || listing.last.reason
        when listing.last.event = 'gone' or audio.last.reason = 'audio_gone' then 'gone'
        when audio.last.event = 'stored' then 'stored'
        when audio.last.event = 'failed' then 'failed: ' || audio.last.reason
        else 'waiting'
    end as status
    from listing left join audio using (clip_id)
    where listing.last.event != 'resolved'
    order by clip_id
"""


def ledger_of(tables: TableStore, source: str, partition: str) -> pa.Table:
    """All events of a partition, as `tables.LEDGER`."""
    with History(tables.store, source, partition) as history:
        return history.table()


def ledger_of_all(tables: TableStore, source: str, partition: str, table: pa.Table) -> pa.Table:
    """A partition's ledger together with the stored ledgers of the source's other partitions."""
    key = [source, "ledger"]
    others = [name for name in tables.partitions(key) if name != partition]
    return pa.concat_tables([table, tables.read(key, others)])


def count_retryable(tables: TableStore, source: str, partition: str, attempts: int) -> int:
    """How many pages and clips are missing for a reason that may be temporary.

    Args:
        attempts: failed fetches after which a download counts as lost.
    """
    raw = tables.read_dropped([source, "raw_clips"], [partition]).to_pylist()
    audio = tables.read_dropped([source, "audio"], [partition]).to_pylist()
    with History(tables.store, source, partition) as history:
        failures = PastFetches(history, None).failures
    unread = sum(row["reason"] == "unread" for row in raw)
    return unread + sum(
        row["reason"] in TEMPORARY or failures.get(row["clip_id"], 0) < attempts for row in audio
    )


def statuses(ledger: pa.Table) -> pa.Table:
    """What became of each clip.

    Args:
        ledger: `tables.LEDGER`.

    Returns:
        `clip_id`, `partition` and `status`: `stored`, `gone`, `waiting`, `failed: <reason>` or
        `dropped: <reason>`. A clip is gone when it, or its audio, is no longer at the source.
    """
    import duckdb

    with duckdb.connect() as database:
        database.register("ledger", ledger)
        return database.sql(STATUSES).to_arrow_table()


def by_partition(clips: pa.Table) -> dict[str, dict[str, float]]:
    """For each partition, how many clips have each status."""
    counted = Counter(zip(clips["partition"].to_pylist(), clips["status"].to_pylist(), strict=True))
    found: dict[str, dict[str, float]] = {}
    for (partition, status), count in sorted(counted.items()):
        found.setdefault(partition, {})[status] = count
    return found
