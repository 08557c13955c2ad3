"""A schedule for each source that requests the partitions that are missing. It is off until switched on.

It counts all runs of a partition, no matter who launched them: the schedule, the job's page, a backfill, or
the asset graph, whose runs belong to the job `__ASSET_JOB`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG

from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.backfill import BackfillSettings, choose, due_again
from wavcaps_assets.crawl.finished import finished_partitions, is_of_demo, listed_partitions
from wavcaps_assets.defs.common import PARTITION_TAG, Location
from wavcaps_assets.defs.crawl_times import crawled_times, schedule_name
from wavcaps_assets.defs.jobs import crawl_job_name
from wavcaps_assets.defs.own_tags import own_tag
from wavcaps_assets.defs.pauses import INCOMPLETE_TAG, paused_until
from wavcaps_assets.defs.resources import StoreResource, store_of
from wavcaps_assets.defs.run_records import UNFINISHED, newest_records
from wavcaps_assets.sources.base import Source

# The newest runs of a source, among which one that paused is found.
NEWEST = 20
# The newest runs of a partition, among which one of this source is found. Sources can have partitions of the
# same name. At first some are looked at for all partitions together: most often they are enough.
FIRST_RUNS, RUNS_OF_PARTITION = 3, 100


def missing_partitions_schedule(
    source: Source,
    store: StoreResource,
    live: bool,
    settings: BackfillSettings | None = None,
) -> dg.ScheduleDefinition:
    """The schedule of a source. What the store holds is not missing, whatever the event log says.

    Args:
        live: whether the real sites are crawled.
    """
    limits = settings or BackfillSettings()

    @dg.schedule(
        job_name=crawl_job_name(source),
        name=schedule_name(source),
        cron_schedule="*/30 * * * *",
        execution_timezone="UTC",
        description=f"Requests the partitions of {source.title} that are missing, "
        f"{limits.partitions_per_tick} at a time. A partition that failed {limits.attempts} times is "
        f"requested again {limits.again_after_h:g} hours later, until it failed on {limits.attempts} days "
        "or a person cancels it. After a pause, as for a quota, it is requested "
        "again; an incomplete partition, a day later; and a finished one from time to time, less often as it "
        "ages.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        instance = context.instance
        until = paused_until(newest_crawls(instance, source))
        if until is not None:
            return dg.SkipReason(f"{source.title} is paused until {until:%Y-%m-%d %H:%M} UTC")
        tables = store.tables(waits=False)
        if live and is_of_demo(tables, source.name):
            return dg.SkipReason(
                f"{tables.store.describe('tables')} has clips of the demo, not of {source.title}: move this "
                "store away, or set WAVCAPS_STORE to another folder"
            )
        # A partition is done when the last asset of the job has it.
        done = finished_partitions(tables, source.name)
        history = _history(
            instance, source, [name for name in source.partitions() if name not in done], limits
        )
        request = choose(
            source.partitions(),
            done,
            history.running,
            history.failed_days,
            history.interruptions,
            limits,
            history.cancelled | history.resting,
        )
        now = context.scheduled_execution_time
        again = _again(instance, source, now, limits, request.room)
        if request.partitions or again:
            # Dagster never runs the same key twice: the next tick's attempt is another one.
            tick = context.scheduled_execution_time.isoformat()
            listed = listed_partitions(tables, source.name)
            return [
                dg.RunRequest(
                    partition_key=name,
                    run_key=f"{name} at {tick}",
                    # A complete listing is not read again because the audio had to wait.
                    asset_selection=rest_of(source) if name in listed else None,
                )
                for name in request.partitions
            ] + [dg.RunRequest(partition_key=name, run_key=f"{name} again at {tick}") for name in again]
        given_up = (
            f"; not requested after failures or a cancellation: {', '.join(request.given_up)}"
            if request.given_up
            else ""
        )
        left = _left_incomplete(instance, source, limits)
        incomplete = (
            f"; still incomplete after {limits.attempts} crawls, and crawled again only when they are due "
            f"(see the check listing_whole, and the failures in the ledger): {', '.join(left)}"
            if left
            else ""
        )
        return dg.SkipReason(
            f"{request.missing} partitions of {source.title} are missing{given_up}{incomplete}"
        )

    return schedule


def newest_crawls(instance: dg.DagsterInstance, source: Source) -> list[dg.DagsterRun]:
    """The newest runs that crawl a source, among which one that paused is found."""
    return [record.dagster_run for record in _records(instance, source, source.partitions(), NEWEST)]


def rest_of(source: Source) -> list[dg.AssetKey]:
    """What a partition still lacks when its listing is complete."""
    return [dg.AssetKey([source.name, "audio"]), dg.AssetKey([source.name, "ledger"])]


@dataclass(frozen=True)
class History:
    """What happened to the partitions that are missing.

    Attributes:
        running: those with a run that is queued or in progress.
        cancelled: those whose newest run was cancelled.
        resting: those that failed so often of late that they are not requested for now.
        failed_days: days on which a step failed, for each partition. A site may refuse everything for a day.
        interruptions: runs whose process died, for each partition.
    """

    running: set[str]
    cancelled: set[str]
    resting: set[str]
    failed_days: Counter[str]
    interruptions: Counter[str]


def _history(
    instance: dg.DagsterInstance, source: Source, missing: Sequence[str], limits: BackfillSettings
) -> History:
    """The history of partitions that are missing. Only runs that say something about it are read."""
    enough = (limits.attempts**2 + limits.interruptions) * len(missing)
    failed = _records(instance, source, missing, enough, [dg.DagsterRunStatus.FAILURE])
    by_step = [
        (record.dagster_run.tags[PARTITION_TAG], record.create_timestamp)
        for record in failed
        if record.dagster_run.tags.get(RUN_FAILURE_REASON_TAG) == RunFailureReason.STEP_FAILURE.value
    ]
    of_late = utc_now() - timedelta(hours=limits.again_after_h)
    recent = Counter(name for name, at in by_step if at > of_late)
    cancelled = _records(instance, source, missing, enough, [dg.DagsterRunStatus.CANCELED])
    newest = _newest(instance, source, _partitions(cancelled))
    return History(
        running=set(_partitions(_records(instance, source, missing, None, UNFINISHED))),
        cancelled={
            name
            for name, record in newest.items()
            if record.dagster_run.status is dg.DagsterRunStatus.CANCELED
        },
        resting={name for name, times in recent.items() if times >= limits.attempts},
        failed_days=Counter(name for name, _ in {(name, at.date()) for name, at in by_step}),
        interruptions=_partitions(failed) - Counter(name for name, _ in by_step),
    )


def _again(
    instance: dg.DagsterInstance, source: Source, now: datetime, limits: BackfillSettings, room: int
) -> list[str]:
    """The finished partitions to crawl again at this tick: incomplete ones first."""
    if not room:
        return []
    incomplete = _to_complete(instance, source, limits)
    return list(dict.fromkeys(incomplete + _due_again(instance, source, now, limits)))[:room]


def _due_again(
    instance: dg.DagsterInstance, source: Source, now: datetime, limits: BackfillSettings
) -> list[str]:
    """The finished partitions whose clips may have changed since."""
    published_until = {name: source.published_until(name) for name in source.partitions()}
    crawled = crawled_times(instance, source)
    due = due_again(crawled, published_until, now, limits)
    if not due:
        return []
    # A run that has not succeeded is not requested again at once.
    recent = instance.get_run_records(
        dg.RunsFilter(tags={PARTITION_TAG: due}, created_after=now - timedelta(hours=limits.again_after_h))
    )
    requested = _partitions(record for record in recent if _crawls(source, record.dagster_run))
    return [name for name in due if name not in requested]


def _to_complete(instance: dg.DagsterInstance, source: Source, limits: BackfillSettings) -> list[str]:
    """The partitions that were left incomplete a while ago, and were not crawled too often since."""
    before = utc_now() - timedelta(hours=limits.again_after_h)
    tries = _incomplete(instance, source, limits)
    newest = _newest(instance, source, [name for name, times in tries.items() if times < limits.attempts])
    return sorted(
        name
        for name, record in newest.items()
        if own_tag(record.dagster_run, INCOMPLETE_TAG)
        and record.dagster_run.is_finished
        and record.update_timestamp < before
    )


def _left_incomplete(instance: dg.DagsterInstance, source: Source, limits: BackfillSettings) -> list[str]:
    """The partitions that are incomplete still after as many crawls as are made for that."""
    tries = _incomplete(instance, source, limits)
    newest = _newest(instance, source, [name for name, times in tries.items() if times >= limits.attempts])
    return sorted(name for name, record in newest.items() if own_tag(record.dagster_run, INCOMPLETE_TAG))


def _incomplete(instance: dg.DagsterInstance, source: Source, limits: BackfillSettings) -> Counter[str]:
    """How many runs left each partition incomplete, as far as it matters."""
    partitions = source.partitions()
    enough = limits.attempts * len(partitions)
    left = _records(instance, source, partitions, enough, tags={INCOMPLETE_TAG: "true"})
    return _partitions(record for record in left if own_tag(record.dagster_run, INCOMPLETE_TAG))


def _newest(
    instance: dg.DagsterInstance, source: Source, partitions: Collection[str]
) -> dict[str, dg.RunRecord]:
    """The newest run that crawls each partition."""
    found: dict[str, dg.RunRecord] = {}
    for record in _records(instance, source, list(partitions), FIRST_RUNS * len(partitions)):
        found.setdefault(record.dagster_run.tags[PARTITION_TAG], record)
    for name in set(partitions) - found.keys():
        if records := _records(instance, source, [name], RUNS_OF_PARTITION):
            found[name] = records[0]
    return found


def _records(
    instance: dg.DagsterInstance,
    source: Source,
    partitions: Sequence[str],
    limit: int | None,
    statuses: Sequence[dg.DagsterRunStatus] = (),
    tags: Mapping[str, str] | None = None,
) -> list[dg.RunRecord]:
    """The newest runs that crawl these partitions of a source, newest first.

    Args:
        statuses: only runs with one of these; empty: all.
        tags: only runs with these; None: all.
    """
    if not partitions:
        return []
    filters = dg.RunsFilter(tags={PARTITION_TAG: list(partitions), **(tags or {})}, statuses=list(statuses))
    return newest_records(instance, filters, lambda run: _crawls(source, run), limit)


def _crawls(source: Source, run: dg.DagsterRun) -> bool:
    """Whether a run crawls a source: by its job, or by the assets that it was launched for."""
    launched = run.asset_selection or ()
    return run.job_name == crawl_job_name(source) or any(key.path[0] == source.name for key in launched)


def _partitions(records: Iterable[dg.RunRecord]) -> Counter[str]:
    return Counter(record.dagster_run.tags[PARTITION_TAG] for record in records)


def definitions(location: Location) -> dg.Definitions:
    store = store_of(location.settings)
    return dg.Definitions(
        schedules=[missing_partitions_schedule(source, store, location.live) for source in location.sources]
    )
