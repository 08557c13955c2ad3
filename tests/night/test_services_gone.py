"""Postgres, the S3 server, or the code server, is gone for a minute while a run is in progress."""

from __future__ import annotations

import time

import pytest

from tests.night import screenshots
from tests.night.conftest import CRAWL, Plant
from tests.support.dagster_host import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.alone]

OUTAGE_S = 60


@pytest.mark.parametrize("service", ["postgres", "bucket"])
def test_no_run_hangs_and_the_next_one_goes_on(plant: Plant, service: str) -> None:
    plant.new_clips()
    team = plant.team
    gone = team.postgres if service == "postgres" else team.bucket
    keys = [["bbc_sound_effects", name] for name in CRAWL]
    backfill = team.backfill(keys, ["catalogue"])
    wait_until(lambda: any(run.status == "STARTED" for run in team.of_backfill(backfill)), 300, team.logs)
    gone.shut()
    time.sleep(OUTAGE_S)
    gone.open()
    wait_until(team.answers, 120, team.logs)
    # If its process died, `end_dead_runs` finds that out at its second look, a minute after the first.
    team.wait_for_backfill(backfill)
    team.settle()
    runs = team.of_backfill(backfill)
    screenshots.take(team, screenshots.of_backfill(f"{service}_gone", backfill))
    assert {run.status for run in runs} <= {"SUCCESS", "FAILURE"}
    if runs[0].status == "FAILURE":
        # As the schedule does at its next tick.
        assert team.wait_for_backfill(team.backfill(keys, ["catalogue"])) == "COMPLETED_SUCCESS"
    plant.require_each_sound_once("bbc_sound_effects", ("catalogue",))


def test_after_a_stall_of_the_code_server_the_web_ui_shows_it_again(plant: Plant) -> None:
    plant.new_clips()
    team = plant.team
    backfill = team.backfill([["soundbible", name] for name in CRAWL], ["catalogue"])
    wait_until(lambda: any(run.status == "STARTED" for run in team.of_backfill(backfill)), 300, team.logs)
    with team.stalled("assets"):
        time.sleep(OUTAGE_S)
        # Pages that need no code answer meanwhile, and say which run has not ended.
        assert team.of_backfill(backfill)[0].status == "STARTED"
        screenshots.take(team, {"stalled_code": "/locations", "stalled_code_runs": "/runs"})
    wait_until(team.is_loaded, 120, team.logs)
    assert team.wait_for_backfill(backfill) == "COMPLETED_SUCCESS"
    assert [run.status for run in team.of_backfill(backfill)] == ["SUCCESS"]
    plant.require_each_sound_once("soundbible", ("catalogue",))
