"""An instance with years of nightly runs, written at once; run by run it would take an hour.

The rows are those that Dagster writes: runs with tags, planned and real materializations of every partition.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG
from dagster._serdes import serialize_value

from wavcaps_assets.defs.common import PARTITION_TAG
from wavcaps_assets.defs.jobs import LANE, LANE_JOB, PUBLISH_JOB, crawl_job_name
from wavcaps_assets.defs.pauses import INCOMPLETE_TAG
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import Source

ASSET_JOB = "__ASSET_JOB"
# Of FreeSound: 300.
MONTHS = ("2001-11", "2026-10")
CRAWLED = ("raw_clips", "audio", "ledger", "fingerprints")
TAKES = timedelta(minutes=5)


@dataclass(frozen=True)
class PastRun:
    """A run that has ended.

    Attributes:
        job: its job, or that of the asset graph.
        assets: what it made, or was to make.
        partition: of the assets; None: they have none.
        failed: whether its first step failed.
        tags: others than that of the partition.
    """

    job: str
    assets: tuple[tuple[str, ...], ...]
    partition: str | None
    failed: bool = False
    tags: tuple[tuple[str, str], ...] = ()


def past_runs(sources: Sequence[Source], failed: Sequence[str], count: int) -> Iterator[PastRun]:
    """Runs of every kind: nine of ten are crawls, of FreeSound most often; half are of the asset graph.

    Args:
        failed: the partitions of FreeSound that failed three times in the past, and succeeded later.
    """
    chosen = random.Random(1)
    freesound = next(source for source in sources if source.name == "freesound")
    for number in range(count):
        from_graph = bool(number % 2)
        if number % 20 == 0:
            lane = tuple((name,) for name in LANE)
            source = sources[number // 20 % len(sources)]
            yield PastRun(ASSET_JOB if from_graph else LANE_JOB, lane, source.name)
        elif number % 20 == 1:
            yield PastRun(ASSET_JOB if number % 40 == 1 else PUBLISH_JOB, (("wavcaps",),), None)
        else:
            source = freesound if number % 4 else chosen.choice(sources)
            bad = source is freesound and number < 3 * len(failed)
            partition = failed[number % len(failed)] if bad else chosen.choice(source.partitions())
            tags = ((INCOMPLETE_TAG, "true"),) if number % 100 == 7 and not bad else ()
            crawled = tuple((source.name, name) for name in CRAWLED)
            job = ASSET_JOB if from_graph else crawl_job_name(source)
            yield PastRun(job, crawled, partition, bad, tags)


def write_runs(instance: dg.DagsterInstance, runs: Sequence[PastRun]) -> None:
    """Writes runs of the last year, the first of the sequence first."""
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    first, step = datetime.now(UTC) - timedelta(days=365), timedelta(days=364) / max(1, len(runs))
    rows: list[dict[str, Any]] = []
    tags: list[dict[str, Any]] = []
    events: list[EventLogEntry] = []
    for number, past in enumerate(runs):
        at, run = first + number * step, _run(past)
        body = serialize_value(run)
        rows.append(
            {
                "run_id": run.run_id,
                "pipeline_name": run.job_name,
                "status": run.status.value,
                "run_body": body,
                "create_timestamp": at.replace(tzinfo=None),
                "update_timestamp": (at + TAKES).replace(tzinfo=None),
                "start_time": at.timestamp(),
                "end_time": (at + TAKES).timestamp(),
            }
        )
        tags += [
            {"run_id": run.run_id, "key": key, "value": value}
            for key, value in run.tags_for_storage().items()
        ]
        events += _events(past, run, at)
    with storage.connect() as connection:
        connection.execute(RunsTable.insert(), rows)
        connection.execute(RunTagsTable.insert(), tags)
    _write_events(instance, events)


def _run(past: PastRun) -> dg.DagsterRun:
    partition = {PARTITION_TAG: past.partition} if past.partition else {}
    reason = {RUN_FAILURE_REASON_TAG: "STEP_FAILURE"} if past.failed else {}
    return dg.DagsterRun(
        job_name=past.job,
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.FAILURE if past.failed else dg.DagsterRunStatus.SUCCESS,
        tags={**partition, **reason, **dict(past.tags)},
        asset_selection=frozenset(map(dg.AssetKey, past.assets)) if past.job == ASSET_JOB else None,
    )


def _events(past: PastRun, run: dg.DagsterRun, at: datetime) -> Iterator[EventLogEntry]:
    for path in past.assets:
        key = dg.AssetKey(path)
        planned = AssetMaterializationPlannedData(key, partition=past.partition)
        yield _entry(
            run,
            at,
            key,
            DagsterEvent("ASSET_MATERIALIZATION_PLANNED", run.job_name, event_specific_data=planned),
        )
        if not past.failed:
            made = StepMaterializationData(
                dg.AssetMaterialization(key, partition=past.partition, metadata={"dagster/row_count": 1000})
            )
            step = DagsterEvent("ASSET_MATERIALIZATION", run.job_name, event_specific_data=made)
            yield _entry(run, at + TAKES, key, step)


def _entry(run: dg.DagsterRun, at: datetime, key: dg.AssetKey, event: DagsterEvent) -> EventLogEntry:
    return EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run.run_id,
        timestamp=at.timestamp(),
        step_key=key.to_python_identifier(),
        job_name=run.job_name,
        dagster_event=event,
    )


def _write_events(instance: dg.DagsterInstance, events: Sequence[EventLogEntry]) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    with storage.index_connection() as connection:
        connection.execute(SqlEventLogStorageTable.insert(), [storage._event_to_row(one) for one in events])
    # The asset's own row has its newest event.
    newest = {
        one.get_dagster_event().asset_key: one
        for one in events
        if not one.get_dagster_event().is_asset_materialization_planned
    }
    for one in newest.values():
        key = one.get_dagster_event().asset_key
        assert key is not None
        record = storage.fetch_materializations(key, limit=1).records[0]
        storage.store_asset_event(record.event_log_entry, record.storage_id)


@contextmanager
def instance_with_runs(
    home: Path, instance_yaml: str, count: int
) -> Iterator[tuple[dg.DagsterInstance, Sequence[Source]]]:
    """An instance with past runs, and the sources. The environment becomes that of the instance.

    Args:
        home: becomes DAGSTER_HOME; a new folder.
        instance_yaml: its `dagster.yaml`.
        count: of the runs.
    """
    home.mkdir()
    (home / "dagster.yaml").write_text(instance_yaml)
    os.environ |= {
        "DAGSTER_HOME": str(home),
        "WAVCAPS_STORE": str(home / "store"),
        "WAVCAPS_FREESOUND__FIRST_MONTH": MONTHS[0],
        "WAVCAPS_FREESOUND__LAST_MONTH": MONTHS[1],
    }
    with dg.DagsterInstance.get() as instance:
        sources = all_sources(Settings())
        months = next(source.partitions() for source in sources if source.name == "freesound")
        write_runs(instance, list(past_runs(sources, months, count)))
        yield instance, sources
