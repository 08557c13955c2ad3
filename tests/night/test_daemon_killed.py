"""The daemon is killed during a backfill, and started again."""

from __future__ import annotations

import time

import pytest

from tests.night import screenshots
from tests.night.conftest import CRAWL, MONTHS, Plant
from tests.support.dagster_host import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.alone]


@pytest.mark.parametrize("runs", [0, 1], ids=["before its runs", "between its runs"])
def test_each_partition_is_run_once(plant: Plant, runs: int) -> None:
    plant.new_clips()
    team = plant.team
    backfill = team.backfill([["freesound", name] for name in CRAWL], MONTHS)
    wait_until(lambda: len(team.of_backfill(backfill)) >= runs, 300, team.logs)
    team.kill("daemon")
    # Runs that were started go on without it.
    time.sleep(5)
    screenshots.take(
        team, {f"no_daemon_{runs}": "/health"} | screenshots.of_backfill(f"no_daemon_{runs}", backfill)
    )
    team.start("daemon")
    assert team.wait_for_backfill(backfill) == "COMPLETED_SUCCESS"
    assert sorted(run.partition for run in team.of_backfill(backfill)) == list(MONTHS)
    assert {run.status for run in team.of_backfill(backfill)} == {"SUCCESS"}
    plant.require_each_sound_once("freesound", MONTHS)
