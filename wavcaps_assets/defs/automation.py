"""Sensors that carry new clips on: from a crawl to the source's manifest, from manifests to a new version.

Each is off until it is switched on in the web UI. They are sensors of their own and not automation
conditions, because Dagster switches conditions by asset: stages 1 to 3 are the same assets for all sources,
which a person switches on one by one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import dagster as dg

from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.common import PARTITION_TAG, Location
from wavcaps_assets.defs.jobs import LANE, LANE_JOB, PUBLISH_JOB
from wavcaps_assets.defs.pauses import PAUSED_TAG, paused_until
from wavcaps_assets.defs.schedules import UNFINISHED
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Source

EVERY_S = 300
MANIFEST, SET = dg.AssetKey("manifest"), dg.AssetKey("wavcaps")
# After this number of failed runs of the same clips, a person has to look.
ATTEMPTS = 3
# The newest runs of a job, among which those of a source are found.
NEWEST = 100
MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION


def newest_event(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey], partition: str | None = None
) -> tuple[int, datetime] | None:
    """The number and the time (UTC) of the newest materialization of these assets; None: there is none."""
    newest: tuple[int, datetime] | None = None
    for key in keys:
        filter_ = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
        for record in instance.fetch_materializations(filter_, limit=1).records:
            found = (record.storage_id, datetime.fromtimestamp(record.timestamp, utc_now().tzinfo))
            newest = max(newest or found, found)
    return newest


def runs_of(
    instance: dg.DagsterInstance, job: str, assets: Sequence[dg.AssetKey], partition: str | None = None
) -> list[dg.RunRecord]:
    """The newest runs that make some of these assets, whether by the job or from the asset graph."""
    tags = {PARTITION_TAG: partition} if partition else None
    records = instance.get_run_records(dg.RunsFilter(tags=tags), limit=NEWEST)
    return [
        record
        for record in records
        if record.dagster_run.job_name == job or {*assets} & {*(record.dagster_run.asset_selection or ())}
    ]


def reason_to_wait(records: Sequence[dg.RunRecord], since: datetime, every: timedelta) -> str | None:
    """Why a job is not requested now although there is something new; None: it is.

    Args:
        records: its newest runs, newest first.
        since: when the new thing was there (UTC).
        every: the least time between two requests.
    """
    runs = [record.dagster_run for record in records]
    if any(run.status in UNFINISHED for run in runs):
        return "a run is queued or in progress"
    until = paused_until(runs)
    if until is not None:
        return f"paused until {until:%Y-%m-%d %H:%M} UTC"
    if runs and runs[0].status is dg.DagsterRunStatus.CANCELED and records[0].create_timestamp > since:
        return f"run {runs[0].run_id[:8]} was cancelled by a person: start the job by hand"
    failed = [
        record
        for record in records
        if record.dagster_run.status is dg.DagsterRunStatus.FAILURE and record.create_timestamp > since
    ]
    if len(failed) >= ATTEMPTS:
        run = failed[0].dagster_run.run_id[:8]
        return (
            f"{len(failed)} runs have failed, the newest is {run}: start the job by hand when it is repaired"
        )
    # A pause that has expired goes on at once: it was the same request.
    was_paused = bool(runs) and PAUSED_TAG in runs[0].tags
    if records and not was_paused and (due := records[0].create_timestamp + every) > utc_now():
        return f"at most one run in {every.total_seconds() / 3600:g} hours: the next one at {due:%H:%M} UTC"
    return None


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
        "is a pause, after which it goes on.",
    )
    def process(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        instance = context.instance
        crawled = newest_event(instance, inputs)
        if crawled is None:
            return dg.SkipReason(f"nothing of {source.title} is crawled yet")
        done = newest_event(instance, [MANIFEST], source.name)
        if done is not None and done[0] > crawled[0]:
            return dg.SkipReason(f"the manifest of {source.title} is newer than its newest clips")
        records = runs_of(instance, LANE_JOB, lane, source.name)
        wait = reason_to_wait(records, crawled[1], every)
        if wait is not None:
            return dg.SkipReason(f"new clips of {source.title} wait: {wait}")
        return dg.RunRequest(
            partition_key=source.name, run_key=f"{source.name} {crawled[0]} after {_newest(records)}"
        )

    return process


def publish_sensor(sources: Sequence[Source], settings: Settings) -> dg.SensorDefinition:
    """The sensor of the set: new manifests become a version, if the captions pass every blocking check."""
    every = timedelta(hours=settings.automation_interval_h)
    lane = [dg.AssetKey(name) for name in LANE]

    @dg.sensor(
        name="publish_new_version",
        job_name=PUBLISH_JOB,
        minimum_interval_seconds=EVERY_S,
        description="Publishes the set when a manifest is newer than it, and no source is being captioned, "
        f"at most once in {settings.automation_interval_h:g} hours. It becomes a version only if the "
        "captions pass every blocking check. It costs some minutes of one core, and nothing else.",
    )
    def publish(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        instance = context.instance
        manifests = newest_event(instance, [MANIFEST])
        if manifests is None:
            return dg.SkipReason("no source has a manifest yet")
        done = newest_event(instance, [SET])
        if done is not None and done[0] > manifests[0]:
            return dg.SkipReason("the set is newer than every manifest")
        busy = [
            source.title
            for source in sources
            if any(
                record.dagster_run.status in UNFINISHED
                for record in runs_of(instance, LANE_JOB, lane, source.name)
            )
        ]
        if busy:
            return dg.SkipReason(f"in progress: {', '.join(busy)}")
        records = runs_of(instance, PUBLISH_JOB, [SET])
        wait = reason_to_wait(records, manifests[1], every)
        if wait is not None:
            return dg.SkipReason(f"new manifests wait: {wait}")
        return dg.RunRequest(run_key=f"{manifests[0]} after {_newest(records)}")

    return publish


def _newest(records: Sequence[dg.RunRecord]) -> str:
    """A part of a run's key: Dagster never starts a run with the same key twice."""
    return records[0].dagster_run.run_id if records else "none"


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        sensors=[
            *(process_sensor(source, location.settings) for source in location.sources),
            publish_sensor(location.sources, location.settings),
        ]
    )
