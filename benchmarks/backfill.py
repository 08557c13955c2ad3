"""How long a backfill of many months of the demo's server takes: a real daemon, one run for each month.

The backfill is launched as the web UI does, with this project's own `dagster.yaml`. 300 months may take 30
minutes on 2 cores; a number on the command line takes fewer, whose limit is in proportion:

    python -m benchmarks.backfill 30

The peer is what the steps alone took: the crawl. The rest is orchestration, which is printed too: the time
until a run is launched, the start of its process, and Dagster's own work between steps.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg

from benchmarks.result import children_peak_mb, report
from tests.support.dagster_host import Host, host, wait_until
from tests.support.graphql import LAUNCH_BACKFILL
from tests.support.paths import ROOT
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus

MONTHS, MOST_S = 300, 30 * 60
LAST = date(2026, 10, 1)
ASSETS = ("raw_clips", "audio", "ledger")


def months(count: int) -> list[str]:
    """The last months until October 2026, of which the demo's corpus has one or two."""
    numbers = range(LAST.year * 12 + LAST.month - count, LAST.year * 12 + LAST.month)
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in numbers]


@dataclass(frozen=True)
class Spent:
    """Where the time of runs went, all of them together (s). Runs overlap: the sum can exceed the whole.

    Attributes:
        starting: from the launch of a run until its first step can start: its process and the definitions.
        steps: in the steps.
        between: the rest of a run: its first and last events, and waiting for a slot of the pool.
    """

    starting: float
    steps: float
    between: float


def spent(instance: dg.DagsterInstance) -> Spent:
    """Where the time of all runs went."""
    starting = steps = runs = 0.0
    for record in instance.get_run_records():
        run_id = record.dagster_run.run_id
        assert record.dagster_run.is_success, record.dagster_run
        assert record.start_time is not None and record.end_time is not None
        (launch,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_STARTING)
        starting += record.start_time - launch.timestamp
        runs += record.end_time - record.start_time
        for stats in instance.get_run_step_stats(run_id):
            assert stats.start_time is not None and stats.end_time is not None
            steps += stats.end_time - stats.start_time
    return Spent(starting, steps, runs - steps)


def backfilled(started: Host, names: list[str]) -> float:
    """How long the backfill takes until its last run has ended (s)."""
    assets = [{"path": ["freesound", name]} for name in ASSETS]
    begun = time.monotonic()
    answer = started.graphql(LAUNCH_BACKFILL, params={"assetSelection": assets, "partitionNames": names})
    assert answer["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", answer
    done = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])

    def finished() -> bool:
        assert not started.instance.get_runs(failed, limit=1), "a run failed"
        return started.instance.get_runs_count(done) == len(names)

    wait_until(finished, 6 * MOST_S, lambda: started.instance.get_runs_count(done))
    return time.monotonic() - begun


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else MONTHS
    names = months(count)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir()
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ |= {
            "DAGSTER_HOME": str(home),
            "WAVCAPS_FREESOUND__FIRST_MONTH": names[0],
            "WAVCAPS_FREESOUND__LAST_MONTH": names[-1],
        }
        with running_server(synthesised_corpus(Path(folder, "corpus"), clips=18, scenes=2)) as url:
            os.environ["WAVCAPS_EMBEDDED_SOURCES_PORT"] = url.rpartition(":")[2]
            with host(home, (ROOT / "dagster_home/dagster.yaml").read_text()) as started:
                taken = backfilled(started, names)
                parts = spent(started.instance)
    print(  # noqa: T201
        f"{count} months in {taken:.0f} s, {taken / count:.1f} s each: crawl (the steps) "
        f"{parts.steps / count:.1f} s, orchestration {(taken - parts.steps) / count:.1f} s. A run starts in "
        f"{parts.starting / count:.1f} s, and is {parts.between / count:.1f} s between its steps"
    )
    report("backfill", taken, "s", "the steps alone", parts.steps, children_peak_mb())
    limit = MOST_S * count / MONTHS
    if taken > limit:
        sys.exit(f"the backfill took {taken:.0f} s; at most {limit:.0f} s")


if __name__ == "__main__":
    main()
