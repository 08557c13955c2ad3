"""A schedule per source that asks for the partitions that are missing. Off until switched on."""

from collections import Counter

import dagster as dg

from wavcaps_assets.defs.jobs import crawl_job_name
from wavcaps_assets.missing import BackfillSettings, choose
from wavcaps_assets.sources.base import Source

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
PARTITION_TAG = "dagster/partition"


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
        f"{limits.partitions_per_tick} at a time, each at most {limits.attempts} times.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        instance = context.instance
        # A partition is done when the last asset of the job has it.
        done = instance.get_materialized_partitions(dg.AssetKey([source.name, "audio"]))
        failures = _count(instance, job, [dg.DagsterRunStatus.FAILURE])
        request = choose(
            source.partitions(),
            done,
            running=_count(instance, job, UNFINISHED),
            failures=failures,
            settings=limits,
        )
        if request.partitions:
            # Dagster never runs the same key twice: the next attempt is another one.
            return [
                dg.RunRequest(partition_key=name, run_key=f"{name} attempt {failures[name] + 1}")
                for name in request.partitions
            ]
        given_up = (
            f"; left to a person after failing: {', '.join(request.given_up)}" if request.given_up else ""
        )
        return dg.SkipReason(f"{request.missing} partitions of {source.title} are missing{given_up}")

    return schedule


def _count(instance: dg.DagsterInstance, job: str, statuses: list[dg.DagsterRunStatus]) -> Counter[str]:
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=statuses))
    return Counter(run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags)
