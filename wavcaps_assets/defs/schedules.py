"""A schedule per source that asks for the partitions that are missing. Off until switched on."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from wavcaps_assets.crawl.backfill import BackfillSettings, choose, due_again
from wavcaps_assets.defs.common import PARTITION_TAG, Location
from wavcaps_assets.defs.jobs import crawl_job_name
from wavcaps_assets.defs.pauses import INCOMPLETE_TAG, paused_until
from wavcaps_assets.sources.base import Source

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# As many of the newest runs as are looked at for one that paused.
NEWEST = 20


def missing_partitions_schedule(
    source: Source, settings: BackfillSettings | None = None
) -> dg.ScheduleDefinition:
    limits = settings or BackfillSettings()
    job = crawl_job_name(source)

    @dg.schedule(
        job_name=job,
        name=f"{job}_missing",
        cron_schedule="*/30 * * * *",
        execution_timezone="UTC",
        description=f"Asks for the partitions of {source.title} that are missing: "
        f"{limits.partitions_per_tick} at a time, each until it has failed {limits.attempts} times. What "
        "pauses, as for a quota, is requested again afterwards; an incomplete partition, a day later; and "
        "a finished one from time to time, less often as it ages.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        instance = context.instance
        until = paused_until(_runs(instance, job, limit=NEWEST))
        if until is not None:
            return dg.SkipReason(f"{source.title} is paused until {until:%Y-%m-%d %H:%M} UTC")
        # A partition is done when the last asset of the job has it.
        done = instance.get_materialized_partitions(dg.AssetKey([source.name, "ledger"]))
        failed = _runs(instance, job, [dg.DagsterRunStatus.FAILURE])
        interrupted = [run for run in failed if _was_interrupted(instance, run)]
        request = choose(
            source.partitions(),
            done,
            running=_partitions(_runs(instance, job, UNFINISHED)),
            failures=_partitions(failed) - _partitions(interrupted),
            interruptions=_partitions(interrupted),
            settings=limits,
        )
        now = context.scheduled_execution_time
        again = list(
            dict.fromkeys(_to_complete(instance, job, limits) + _due_again(instance, source, now, limits))
        )[: request.room]
        if request.partitions or again:
            # Dagster never runs the same key twice: the next tick's attempt is another one.
            tick = context.scheduled_execution_time.isoformat()
            listed = instance.get_materialized_partitions(dg.AssetKey([source.name, "raw_clips"]))
            return [
                dg.RunRequest(
                    partition_key=name,
                    run_key=f"{name} at {tick}",
                    # A listing that was read whole is not read again because the audio had to wait.
                    asset_selection=rest_of(source) if name in listed else None,
                )
                for name in request.partitions
            ] + [dg.RunRequest(partition_key=name, run_key=f"{name} again at {tick}") for name in again]
        given_up = (
            f"; left to a person after failing: {', '.join(request.given_up)}" if request.given_up else ""
        )
        return dg.SkipReason(f"{request.missing} partitions of {source.title} are missing{given_up}")

    return schedule


def rest_of(source: Source) -> list[dg.AssetKey]:
    """What a partition still lacks when its listing is there."""
    return [dg.AssetKey([source.name, "audio"]), dg.AssetKey([source.name, "ledger"])]


def _to_complete(instance: dg.DagsterInstance, job: str, limits: BackfillSettings) -> list[str]:
    """The partitions that something was missing of a while ago, and that were not crawled too often since."""
    before = datetime.now(UTC) - timedelta(hours=limits.again_after_h)
    incomplete = instance.get_run_records(dg.RunsFilter(job_name=job, tags={INCOMPLETE_TAG: "true"}))
    tries = _partitions([record.dagster_run for record in incomplete])
    return sorted(
        name
        for name, times in tries.items()
        if times < limits.attempts and _ended_incomplete(instance, job, name, before)
    )


def _due_again(
    instance: dg.DagsterInstance, source: Source, now: datetime, limits: BackfillSettings
) -> list[str]:
    """The finished partitions whose clips may have changed since."""
    days = {name: source.published_until(name) for name in source.partitions()}
    published_until = {name: day for name, day in days.items() if day is not None}
    if not published_until:
        return []
    ledger, materialization = dg.AssetKey([source.name, "ledger"]), dg.DagsterEventType.ASSET_MATERIALIZATION
    latest = instance.get_latest_storage_id_by_partition(ledger, materialization)
    if not latest:
        return []
    at = {
        record.storage_id: datetime.fromtimestamp(record.timestamp, UTC)
        for record in instance.get_event_records(
            dg.EventRecordsFilter(materialization, ledger, storage_ids=list(latest.values()))
        )
    }
    crawled = {name: at[number] for name, number in latest.items() if number in at}
    # A run that has not succeeded is not requested again at once.
    recent = instance.get_runs(
        dg.RunsFilter(
            job_name=crawl_job_name(source), created_after=now - timedelta(hours=limits.again_after_h)
        )
    )
    return [
        name
        for name in due_again(crawled, published_until, now, limits)
        if name not in _partitions(list(recent))
    ]


def _ended_incomplete(instance: dg.DagsterInstance, job: str, partition: str, before: datetime) -> bool:
    """Whether a partition's newest run left something to do, and ended before a time."""
    runs = dg.RunsFilter(job_name=job, tags={PARTITION_TAG: partition})
    (newest,) = instance.get_run_records(runs, limit=1)
    ended = newest.dagster_run.is_finished and newest.update_timestamp < before
    return ended and INCOMPLETE_TAG in newest.dagster_run.tags


def _runs(
    instance: dg.DagsterInstance,
    job: str,
    statuses: Sequence[dg.DagsterRunStatus] | None = None,
    limit: int | None = None,
) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(job_name=job, statuses=statuses), limit=limit))


def _partitions(runs: Sequence[dg.DagsterRun]) -> Counter[str]:
    return Counter(run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags)


def _was_interrupted(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run's process died, as in a restart of the machine: no step of it failed."""
    failures = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1)
    return not failures.records


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(schedules=[missing_partitions_schedule(source) for source in location.sources])
