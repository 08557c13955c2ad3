"""Sensors that carry new clips on: from a crawl to the source's manifest, from manifests to a new version.

Each is off until it is switched on in the web UI. They are sensors of their own and not automation
conditions, because Dagster switches conditions by asset: stages 1 to 3 are the same assets for all sources,
which a person switches on one by one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME

from wavcaps_assets.captioning.presets import wrong_setting
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.common import PARTITION_TAG, Location
from wavcaps_assets.defs.failing_checks import blocking_checks, by_source, failing
from wavcaps_assets.defs.jobs import LANE, LANE_JOB, PUBLISH_JOB
from wavcaps_assets.defs.own_tags import own_tag
from wavcaps_assets.defs.pauses import PAUSED_TAG, paused_until
from wavcaps_assets.defs.run_records import UNFINISHED, makes, newest_records
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Source

EVERY_S = 300
FILTERED, MANIFEST, SET = (dg.AssetKey(name) for name in ("filtered_clips", "manifest", "wavcaps"))
# After this number of failed runs without a success between them, a person has to look.
ATTEMPTS = 3
# The newest runs that are looked at.
NEWEST = 100
MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION
# Checks that are named.
SHOWN = 3


@dataclass(frozen=True, order=True)
class Made:
    """A materialization.

    Attributes:
        number: grows with each event of the instance.
        at: when it happened (UTC).
        run_id: of the run that made it; empty: none did.
    """

    number: int
    at: datetime
    run_id: str

    def has_seen(self, other: Made, instance: dg.DagsterInstance) -> bool:
        """Whether its run began after another materialization, and can so have read it."""
        record = instance.get_run_record_by_id(self.run_id) if self.run_id else None
        if record is None or record.start_time is None:
            return self.number > other.number
        began = _number_of_start(instance, self.run_id)
        if began is not None:
            # The clocks of the machines may differ.
            return began > other.number
        return record.start_time > other.at.timestamp()


def _number_of_start(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """The number of the event with which a run began; None: materializations have other numbers."""
    # It imports sqlalchemy, which definitions do not need.
    from dagster._core.storage.event_log import SqliteEventLogStorage

    if isinstance(instance.event_log_storage, SqliteEventLogStorage):
        # Each run has a file with its own numbers, and all are on one machine.
        return None
    found = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_START, limit=1).records
    return found[0].storage_id if found else None


def newest_event(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey], partition: str | None = None
) -> Made | None:
    """The newest materialization of these assets; None: there is none."""
    newest: Made | None = None
    for key in keys:
        filter_ = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
        for record in instance.fetch_materializations(filter_, limit=1).records:
            at = datetime.fromtimestamp(record.timestamp, utc_now().tzinfo)
            found = Made(record.storage_id, at, record.event_log_entry.run_id)
            newest = max(newest or found, found)
    return newest


def runs_of(
    instance: dg.DagsterInstance, job: str, assets: Sequence[dg.AssetKey], partition: str | None = None
) -> list[dg.RunRecord]:
    """The newest runs that make some of these assets, whether by the job or from the asset graph."""
    tags = {PARTITION_TAG: partition} if partition else None
    # Two filters, because crawls are runs of the asset graph too: there can be many, and none has the job.
    found = [
        record
        for name in (job, IMPLICIT_ASSET_JOB_NAME)
        for record in newest_records(
            instance, dg.RunsFilter(job_name=name, tags=tags), lambda run: makes(run, job, assets), NEWEST
        )
    ]
    return sorted(found, key=lambda record: record.storage_id, reverse=True)


def runs_in_progress(
    instance: dg.DagsterInstance, job: str, assets: Sequence[dg.AssetKey]
) -> dict[str, list[dg.DagsterRun]]:
    """The runs that make some of these assets and have not ended, by their partition."""
    found: dict[str, list[dg.DagsterRun]] = {}
    for run in instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED))):
        if PARTITION_TAG in run.tags and makes(run, job, assets):
            found.setdefault(run.tags[PARTITION_TAG], []).append(run)
    return found


def reason_to_wait(records: Sequence[dg.RunRecord], every: timedelta) -> str | None:
    """Why a job is not requested now although there is something new; None: it is.

    What happened before the newest run that made its assets does not count.

    Args:
        records: its newest runs, newest first.
        every: the least time between two requests.
    """
    runs = [record.dagster_run for record in records]
    if any(run.status in UNFINISHED for run in runs):
        return "a run is queued or in progress"
    until = paused_until(_not_made(runs))
    if until is not None:
        return f"paused until {until:%Y-%m-%d %H:%M} UTC"
    # Clips that were crawled since do not start it either: crawls go on all day.
    if stopped := left_to_a_person(runs):
        return stopped
    # A pause that has expired goes on at once: it was the same request.
    was_paused = bool(runs) and own_tag(runs[0], PAUSED_TAG) is not None
    if records and not was_paused and (due := records[0].create_timestamp + every) > utc_now():
        hours = f"{every.total_seconds() / 3600:g}"
        return f"at most one run in {hours} hours: the next one at {due:%Y-%m-%d %H:%M} UTC"
    return None


def left_to_a_person(runs: Sequence[dg.DagsterRun]) -> str:
    """Why a job is not requested again until a person starts it; empty: it is.

    Args:
        runs: its newest runs, newest first.
    """
    if runs and runs[0].status is dg.DagsterRunStatus.CANCELED:
        return f"run {runs[0].run_id[:8]} was cancelled by a person: start the job by hand"
    failed = [run for run in _not_made(runs) if run.status is dg.DagsterRunStatus.FAILURE]
    if len(failed) < ATTEMPTS:
        return ""
    return (
        f"{len(failed)} runs have failed, the newest is {failed[0].run_id[:8]}: start the job by hand "
        "when it is repaired"
    )


def _not_made(runs: Sequence[dg.DagsterRun]) -> list[dg.DagsterRun]:
    """The newest runs, up to the last one that made its assets."""
    return list(itertools.takewhile(lambda run: not made_all(run), runs))


def made_all(run: dg.DagsterRun) -> bool:
    """Whether a run ended with everything that it was to make."""
    return run.status is dg.DagsterRunStatus.SUCCESS and own_tag(run, PAUSED_TAG) is None


def process_sensor(source: Source, settings: Settings) -> dg.SensorDefinition:
    """The sensor of a source: new clips are filtered, captioned and checked."""
    inputs = [dg.AssetKey([source.name, name]) for name in ("raw_clips", "audio")]
    lane = [dg.AssetKey(name) for name in LANE]
    every = timedelta(hours=settings.automation_interval_h)
    cost = (
        "The demo's own model writes the captions, which costs nothing."
        if settings.embedded_model
        else f"Each new text is a paid request to {settings.llm.model}, within the budget of the month "
        "(WAVCAPS_LLM__BUDGET_MONTH_USD)."
    )

    @dg.sensor(
        name=f"process_{source.name}",
        job_name=LANE_JOB,
        minimum_interval_seconds=EVERY_S,
        description=f"Takes new clips of {source.title} through stages 1 to 3 to its manifest, at most "
        f"once in {settings.automation_interval_h:g} hours. {cost} A used-up budget, or a batch in progress, "
        "is a pause, after which it goes on. It waits while a blocking check of the crawl fails.",
    )
    def process(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        instance = context.instance
        crawled = newest_event(instance, inputs)
        if crawled is None:
            return dg.SkipReason(f"nothing of {source.title} is crawled yet")
        done = newest_event(instance, [MANIFEST], source.name)
        read = newest_event(instance, [FILTERED], source.name) or done
        if done is not None and read is not None and done >= read and read.has_seen(crawled, instance):
            return dg.SkipReason(f"the manifest of {source.title} is newer than its newest clips")
        records = runs_of(instance, LANE_JOB, lane, source.name)
        wait = reason_to_wait(records, every)
        if wait is not None:
            return dg.SkipReason(f"new clips of {source.title} wait: {wait}")
        if wrong := wrong_setting(source.name, source.as_given, settings):
            return dg.SkipReason(f"new clips of {source.title} wait: {wrong}")
        # The run evaluates those of the captions again.
        if blocked := _failed_checks(context, [source], ()):
            return dg.SkipReason(f"new clips of {source.title} wait: {blocked}")
        return dg.RunRequest(
            partition_key=source.name, run_key=f"{source.name} {crawled.number} after {newest_run(records)}"
        )

    return process


def publish_sensor(sources: Sequence[Source], settings: Settings) -> dg.SensorDefinition:
    """The sensor of the set: new manifests become a version, if the captions pass every blocking check."""
    every = timedelta(hours=settings.automation_interval_h)
    longest_wait = 2 * every
    lane = [dg.AssetKey(name) for name in LANE]

    @dg.sensor(
        name="publish_new_version",
        job_name=PUBLISH_JOB,
        minimum_interval_seconds=EVERY_S,
        description="Publishes the set when a manifest is newer than it, and no source is being captioned, "
        f"at most once in {settings.automation_interval_h:g} hours. Sources that are captioned without end "
        f"hold it up for {longest_wait.total_seconds() / 3600:g} hours at most; then it has their manifests "
        "of before. It waits while a blocking check of a source or its captions fails, and becomes a version "
        "only if its captions pass every blocking check. It costs some minutes of one core, and nothing "
        "else.",
    )
    def publish(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        instance = context.instance
        manifests = newest_event(instance, [MANIFEST])
        if manifests is None:
            return dg.SkipReason("no source has a manifest yet")
        done = newest_event(instance, [SET])
        if done is not None and done.has_seen(manifests, instance):
            return dg.SkipReason("the set is newer than every manifest")
        at_work = runs_in_progress(instance, LANE_JOB, lane)
        busy = [source.title for source in sources if source.name in at_work]
        if busy and _waits_since(instance, done, manifests) + longest_wait > utc_now():
            return dg.SkipReason(f"in progress: {', '.join(busy)}")
        if writing := [
            source.title for source in sources if _writes_manifest(instance, at_work.get(source.name))
        ]:
            return dg.SkipReason(f"a manifest is being written: {', '.join(writing)}")
        records = runs_of(instance, PUBLISH_JOB, [SET])
        wait = reason_to_wait(records, every)
        if wait is not None:
            return dg.SkipReason(f"new manifests wait: {wait}")
        if blocked := _failed_checks(context, sources, LANE):
            return dg.SkipReason(f"new manifests wait: {blocked}")
        return dg.RunRequest(run_key=f"{manifests.number} after {newest_run(records)}")

    return publish


def _failed_checks(
    context: dg.SensorEvaluationContext, sources: Sequence[Source], stages: Sequence[str]
) -> str:
    """Which blocking checks failed when they were evaluated last; empty: none.

    A failed check only stops the rest of its own run, and what follows is another run.

    Args:
        sources: whose crawls are looked at.
        stages: assets with a partition for each source, which are looked at, too.
    """
    assert context.repository_def is not None
    first = {*(source.name for source in sources), *stages}
    checks = blocking_checks(context.repository_def.asset_graph)
    # A partition that no longer exists, such as a month before the first one, blocks nothing.
    there = {source.name: set(source.partitions()) for source in sources}
    failed = [
        check
        for check in failing(context.instance, [key for key in checks if key.asset_key.path[0] in first])
        if check.partition is None or check.partition in there.get(check.key.asset_key.path[0], there)
    ]
    found = list(itertools.chain.from_iterable(by_source(failed, sources).values()))
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    named = f"{', '.join(found[:SHOWN])}{more}"
    return f"blocking checks failed; repair it, and evaluate them again: {named}" if found else ""


def _waits_since(instance: dg.DagsterInstance, done: Made | None, newest: Made) -> datetime:
    """When the first manifest was made that is newer than the set; at most that of the newest one."""
    after = dg.AssetRecordsFilter(MANIFEST, after_storage_id=done.number if done else None)
    first = instance.fetch_materializations(after, limit=1, ascending=True).records
    return datetime.fromtimestamp(first[0].timestamp, utc_now().tzinfo) if first else newest.at


def _writes_manifest(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun] | None) -> bool:
    step = MANIFEST.to_python_identifier()
    return any(
        stats.start_time is not None and stats.end_time is None
        for run in runs or ()
        for stats in instance.get_run_step_stats(run.run_id, [step])
    )


def newest_run(records: Sequence[dg.RunRecord]) -> str:
    """A part of a run's key: Dagster never starts a run with the same key twice."""
    return records[0].dagster_run.run_id if records else "none"


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        sensors=[
            *(process_sensor(source, location.settings) for source in location.sources),
            publish_sensor(location.sources, location.settings),
        ]
    )
