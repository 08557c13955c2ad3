"""How long a tick of FreeSound's schedule takes, with 300 failed runs and with 10,000 runs of all kinds.

There are 259 months. With 300 failed runs, all of them are missing. With 10,000 runs, five are: 300 runs of
these failed, and of the others every tenth left its month incomplete. The first tick and the second one must
take at most 1 s. The peer is a tick without any run. Seconds are CPU time.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG
from dagster._serdes import serialize_value

from benchmarks.result import own_peak_mb, report
from wavcaps_assets.definitions import build
from wavcaps_assets.defs.common import PARTITION_TAG
from wavcaps_assets.defs.pauses import INCOMPLETE_TAG
from wavcaps_assets.defs.resources import store_of
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import known_sources
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import LEDGER

MOST_S = 1.0
MONTHS = ("2005-04", "2026-10")
STILL_MISSING = 5
FAILED, RUNS = 300, 10_000
INSERT_RUN = """
INSERT INTO runs (run_id, pipeline_name, status, run_body, create_timestamp, update_timestamp)
VALUES (?, ?, ?, ?, ?, ?)
"""
INSERT_TAG = "INSERT INTO run_tags (run_id, key, value) VALUES (?, ?, ?)"


def runs(months: list[str], missing: list[str], failed: int, others: int) -> Iterator[dg.DagsterRun]:
    """Every other run was launched from the asset graph."""
    chosen = random.Random(1)
    for number in range(failed + others):
        bad = number < failed
        tags = {PARTITION_TAG: chosen.choice(missing if bad else months)}
        if bad:
            tags[RUN_FAILURE_REASON_TAG] = "STEP_FAILURE"
        elif number % 10 == 0:
            tags[INCOMPLETE_TAG] = "true"
        graph = number % 2
        yield dg.DagsterRun(
            job_name="__ASSET_JOB" if graph else "crawl_freesound",
            run_id=str(uuid.uuid4()),
            status=dg.DagsterRunStatus.FAILURE if bad else dg.DagsterRunStatus.SUCCESS,
            tags=tags,
            asset_selection=frozenset([dg.AssetKey(["freesound", "raw_clips"])]) if graph else None,
        )


def write(home: Path, all_runs: list[dg.DagsterRun]) -> None:
    """Writes runs of the year before, at once; one by one they would take minutes."""
    first, step = (
        datetime.now(UTC).replace(tzinfo=None) - timedelta(days=400),
        timedelta(days=399) / len(all_runs),
    )
    with closing(sqlite3.connect(home / "history" / "runs.db")) as database, database:
        for number, run in enumerate(all_runs):
            at = str(first + number * step)
            row = (run.run_id, run.job_name, run.status.value, serialize_value(run), at, at)
            database.execute(INSERT_RUN, row)
            database.executemany(INSERT_TAG, [(run.run_id, *tag) for tag in run.tags.items()])


@contextmanager
def instance(source: Source, done: list[str]) -> Iterator[tuple[dg.DagsterInstance, Path]]:
    """An instance and a store, with some months that are finished."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"DAGSTER_HOME": home, "WAVCAPS_STORE": f"{home}/store"}
        Path(home, "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        tables = store_of(Settings()).tables()
        with dg.DagsterInstance.get() as made:
            made.get_runs(limit=1)
            for month in done:
                tables.write([source.name, "ledger"], month, LEDGER.empty())
                key = dg.AssetKey([source.name, "ledger"])
                made.report_runless_asset_event(dg.AssetMaterialization(key, partition=month))
            yield made, Path(home)


def ticks(failed: int, others: int, still_missing: int | None = None) -> list[float]:
    """How long the first tick and the second one take (s)."""
    os.environ |= dict(
        zip(("WAVCAPS_FREESOUND__FIRST_MONTH", "WAVCAPS_FREESOUND__LAST_MONTH"), MONTHS, strict=True)
    )
    source = next(one for one in known_sources(Settings()) if one.name == "freesound")
    months = source.partitions()
    missing = months if still_missing is None else months[-still_missing:]
    with instance(source, [name for name in months if name not in missing]) as (made, home):
        write(home, list(runs(months, missing, failed, others)))
        repository = build(Settings()).get_repository_def()
        schedule = repository.get_schedule_def("crawl_freesound_missing")
        found = []
        for _ in range(2):
            with dg.build_schedule_context(
                instance=made, repository_def=repository, scheduled_execution_time=datetime.now(UTC)
            ) as context:
                started = time.process_time()
                schedule.evaluate_tick(context)
                found.append(time.process_time() - started)
        return found


def main() -> None:
    (peer, _) = ticks(0, 1, STILL_MISSING)
    slowest = max(*ticks(FAILED, 0), *ticks(FAILED, RUNS - FAILED, STILL_MISSING))
    report("schedule_tick", slowest, "s", "a tick without runs", peer, own_peak_mb())
    if slowest > MOST_S:
        sys.exit(f"a tick takes {slowest:.2f} s; at most {MOST_S:g} s")


if __name__ == "__main__":
    main()
