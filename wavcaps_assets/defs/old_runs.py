"""The job that removes old runs with their events and output. Dagster itself never removes them.

A run stays as long as the newest materialization of an asset, or of one of its partitions, is its or that of
a retry of it: otherwise the UI would show what the store holds as missing, and every asset downstream as out
of date.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.tags import BACKFILL_ID_TAG
from pydantic import Field

from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.common import Location

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
AT_WORK = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
AT_ONCE = 500


class OldRunsConfig(dg.Config):
    """Which runs are removed."""

    dry_run: bool = Field(True, description="List what would be removed, and remove nothing.")
    older_than_days: float = Field(
        90.0,
        ge=7,
        description="Only runs that ended at least this many days ago are removed. The schedules count a "
        "partition's failures by its runs: one that was given up is requested again after this time.",
    )


@dataclass(frozen=True)
class OldRuns:
    """The finished runs from before a time.

    Attributes:
        removable: those that nothing needs, the oldest first.
        needed: number of those that have the newest materialization of something, or a retry that has it, or
            that are of a backfill in progress.
    """

    removable: list[dg.DagsterRun]
    needed: int


def find_old_runs(instance: dg.DagsterInstance, before: datetime) -> OldRuns:
    """The runs that ended before a time (UTC), and whether something needs them."""
    needed = _runs_of_newest_materializations(instance)
    old = list(_ended(instance, before))
    # The UI cannot show the retries of a run whose first run is gone.
    needed |= {run.root_run_id for run in old if run.run_id in needed and run.root_run_id}
    # A backfill that goes on knows by its runs which partitions have failed.
    at_work = {one.backfill_id for one in instance.get_backfills(filters=BulkActionsFilter(statuses=AT_WORK))}
    needed |= {run.run_id for run in old if run.tags.get(BACKFILL_ID_TAG) in at_work}
    removable = [run for run in old if run.run_id not in needed]
    return OldRuns(removable, len(old) - len(removable))


def _ended(instance: dg.DagsterInstance, before: datetime) -> Iterator[dg.DagsterRun]:
    cursor = None
    while True:
        records = instance.get_run_records(
            dg.RunsFilter(statuses=FINISHED, created_before=before),
            limit=AT_ONCE,
            cursor=cursor,
            ascending=True,
        )
        for record in records:
            if record.end_time is None or record.end_time < before.timestamp():
                yield record.dagster_run
        if len(records) < AT_ONCE:
            return
        cursor = records[-1].dagster_run.run_id


def _runs_of_newest_materializations(instance: dg.DagsterInstance) -> set[str]:
    storage = instance.event_log_storage
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    keys = instance.all_asset_keys()
    newest = [instance.get_latest_materialization_event(key) for key in keys]
    runs = {event.run_id for event in newest if event is not None}
    ids = [id for key in keys for id in storage.get_latest_storage_id_by_partition(key, kind).values()]
    for first in range(0, len(ids), AT_ONCE):
        filter_ = dg.EventRecordsFilter(kind, storage_ids=ids[first : first + AT_ONCE])
        runs |= {record.event_log_entry.run_id for record in storage.get_event_records(filter_)}
    return runs


def remove_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Removes a run, its events, and what its steps printed."""
    instance.compute_log_manager.delete_logs(prefix=[run.run_id])
    instance.delete_run(run.run_id)
    for file in _files_of_run(instance, run):
        file.unlink(missing_ok=True)


def _files_of_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Path]:
    """The database of a run's events, which SQLite has for each run, and leaves behind when it is empty."""
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    path = Path(storage.path_for_shard(run.run_id))
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal")]


def size_of(instance: dg.DagsterInstance, runs: list[dg.DagsterRun]) -> int | None:
    """The bytes of the runs' events on this machine; None: they are in a database server."""
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

    if not isinstance(instance.event_log_storage, SqliteEventLogStorage):
        return None
    files = [file for run in runs for file in _files_of_run(instance, run)]
    return sum(file.stat().st_size for file in files if file.exists())


@dg.op(
    description="Removes old runs with their events and output. By default it only lists them: set `dry_run` "
    "to false to remove them. A run that has the newest materialization of an asset or a partition stays."
)
def remove_runs(context: dg.OpExecutionContext, config: OldRunsConfig) -> None:
    instance = context.instance
    found = find_old_runs(instance, utc_now() - timedelta(days=config.older_than_days))
    size = size_of(instance, found.removable)
    if not config.dry_run:
        for run in found.removable:
            remove_run(instance, run)
    done = "would be removed" if config.dry_run else "removed"
    context.log.info(
        f"{len(found.removable)} runs {done}; {found.needed} others are old too, and have the newest "
        "materialization of an asset or of a partition"
    )
    jobs = Counter(run.job_name for run in found.removable)
    lines = [
        "| job | runs |",
        "| --- | ---: |",
        *(f"| {job} | {count} |" for job, count in jobs.most_common()),
    ]
    context.add_output_metadata(
        {
            f"runs {done}": dg.MetadataValue.int(len(found.removable)),
            "old runs that are needed": dg.MetadataValue.int(found.needed),
            "by job": dg.MetadataValue.md("\n".join(lines) if jobs else "*none*"),
            **({} if size is None else {f"events {done} (bytes)": dg.MetadataValue.int(size)}),
        }
    )


@dg.job(
    description="Removes old runs with their events and output, which Dagster keeps otherwise. It lists "
    "them first; to remove them, set `dry_run` to false in the launchpad.",
    executor_def=dg.in_process_executor,
)
def remove_old_runs() -> None:
    remove_runs()


def definitions(_location: Location) -> dg.Definitions:
    return dg.Definitions(jobs=[remove_old_runs])
