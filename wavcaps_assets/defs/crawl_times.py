"""When the partitions of a source were crawled, and whether its schedule is on, from the instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus, ScheduleInstigatorData

from wavcaps_assets.crawl.backfill import BackfillSettings
from wavcaps_assets.crawl.finished import finished_partitions
from wavcaps_assets.crawl.freshness import PACE_WINDOW, Freshness, freshness, pace
from wavcaps_assets.defs.jobs import crawl_job_name
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables.asset_tables import TableStore

MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION
# Materializations that are read at once.
PAGE = 1000


@dataclass(frozen=True)
class Switch:
    """A schedule's switch.

    Attributes:
        on: whether it is on.
        since: when it was switched on (UTC); None: it is off, or not known.
    """

    on: bool
    since: datetime | None = None


def schedule_name(source: Source) -> str:
    """The schedule that crawls what is missing of a source."""
    return f"{crawl_job_name(source)}_missing"


def switch_of(instance: dg.DagsterInstance, schedule: str) -> Switch:
    """Whether a schedule is on. No schedule of the project is on by itself."""
    if instance.schedule_storage is None:
        # Of an instance in memory.
        return Switch(False)
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
        if state.instigator_name != schedule or state.status is not InstigatorStatus.RUNNING:
            continue
        data = state.instigator_data
        began = data.start_timestamp if isinstance(data, ScheduleInstigatorData) else None
        return Switch(True, None if began is None else datetime.fromtimestamp(began, UTC))
    return Switch(False)


def crawled_times(instance: dg.DagsterInstance, source: Source) -> dict[str, datetime]:
    """When each partition was crawled to its end last (UTC).

    The listing is what ages: a ledger that was made again from an old listing is as old as that.
    """
    found = _newest(instance, dg.AssetKey([source.name, "ledger"]))
    listed = _newest(instance, dg.AssetKey([source.name, "raw_clips"]))
    return {name: min(at, listed.get(name, at)) for name, at in found.items()}


def _newest(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, datetime]:
    latest = instance.get_latest_storage_id_by_partition(asset, MATERIALIZATION)
    if not latest:
        return {}
    filter_ = dg.EventRecordsFilter(MATERIALIZATION, asset, storage_ids=list(latest.values()))
    at = {
        record.storage_id: datetime.fromtimestamp(record.timestamp, UTC)
        for record in instance.get_event_records(filter_)
    }
    return {name: at[number] for name, number in latest.items() if number in at}


def freshness_of(
    instance: dg.DagsterInstance,
    tables: TableStore,
    source: Source,
    now: datetime,
    settings: BackfillSettings | None = None,
) -> Freshness:
    """How fresh a source is, against what its schedule promises.

    Raises:
        StoreError: the store cannot be listed.
    """
    finished = finished_partitions(tables, source.name)
    crawled = {name: at for name, at in crawled_times(instance, source).items() if name in finished}
    switch = switch_of(instance, schedule_name(source))
    return freshness(
        {name: source.published_until(name) for name in source.partitions()},
        finished,
        crawled,
        switch.since,
        now,
        settings or BackfillSettings(),
        switch.on,
    )


def pace_of(instance: dg.DagsterInstance, source: Source, now: datetime) -> float | None:
    """How many partitions of a source are finished for the first time in a day; None: not known."""
    ledger = dg.AssetKey([source.name, "ledger"])
    first = instance.fetch_materializations(ledger, limit=1, ascending=True).records
    started = datetime.fromtimestamp(first[0].timestamp, UTC) if first else None
    since = (now - PACE_WINDOW).timestamp()
    recent: dict[str, float] = {}
    for event in _materializations(instance, dg.AssetRecordsFilter(ledger, after_timestamp=since)):
        if event.partition_key is not None:
            recent[event.partition_key] = min(
                event.timestamp, recent.get(event.partition_key, event.timestamp)
            )
    if recent:
        older = dg.AssetRecordsFilter(ledger, asset_partitions=list(recent), before_timestamp=since)
        for event in _materializations(instance, older):
            recent.pop(event.partition_key or "", None)
    return pace([datetime.fromtimestamp(at, UTC) for at in recent.values()], started, now)


def _materializations(
    instance: dg.DagsterInstance, filter_: dg.AssetRecordsFilter
) -> Sequence[dg.EventLogRecord]:
    found: list[dg.EventLogRecord] = []
    cursor = None
    while True:
        page = instance.fetch_materializations(filter_, limit=PAGE, cursor=cursor)
        found += page.records
        if not page.has_more:
            return found
        cursor = page.cursor
