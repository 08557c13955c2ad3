"""The newest runs of something, whether a job launched them or the asset graph."""

from __future__ import annotations

from collections.abc import Callable, Collection

import dagster as dg

UNFINISHED = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
# At most this many times the runs that are needed are looked through.
MOST_PAGES = 20


def newest_records(
    instance: dg.DagsterInstance,
    filters: dg.RunsFilter,
    wanted: Callable[[dg.DagsterRun], bool],
    limit: int | None,
) -> list[dg.RunRecord]:
    """The newest runs that pass a filter and are wanted, newest first.

    Dagster cannot filter by what a run makes: runs of the asset graph all belong to one job, and sources can
    have partitions of the same name.

    Args:
        limit: the most that are returned; None: all.
    """
    found: list[dg.RunRecord] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        records = instance.get_run_records(filters, limit=limit, cursor=cursor)
        found += [record for record in records if wanted(record.dagster_run)]
        if limit is None or len(records) < limit or len(found) >= limit:
            break
        cursor = records[-1].dagster_run.run_id
    return found[:limit]


def makes(run: dg.DagsterRun, job: str, assets: Collection[dg.AssetKey]) -> bool:
    """Whether a run is of a job, or was launched from the asset graph for some of these assets."""
    return run.job_name == job or bool({*assets} & {*(run.asset_selection or ())})
