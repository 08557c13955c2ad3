"""A location changes while there is work: for a while its code does not load, and its server restarts."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.night import screenshots
from tests.night.conftest import CRAWL, MONTHS, Plant
from tests.support.dagster_host import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.alone]

# An environment in which the definitions do not load, as after a change with an error.
BROKEN = {"WAVCAPS_NO_SUCH_SETTING": "1"}
KEYS = [["freesound", name] for name in CRAWL]


def test_what_was_requested_waits_for_the_fix(plant: Plant) -> None:
    plant.new_clips()
    team = plant.team
    team.stop("daemon")
    backfill = team.backfill(KEYS, MONTHS[1:])
    run = team.launch(
        "__ASSET_JOB", MONTHS[0], assetSelection=[{"path": key} for key in KEYS], assetCheckSelection=[]
    )
    whole = dict(team.assets)
    team.assets |= BROKEN
    team.restart("assets", loads=False)
    team.start("daemon")
    # The daemon tries to start what is queued, and to make the backfill's runs.
    try:
        wait_until(lambda: "Caught an error dequeuing run" in team.log_of("daemon"), 180, team.logs)
        time.sleep(20)
        assert team.status(run) == "QUEUED"
        assert team.backfill_status(backfill) == "REQUESTED"
        pages = {"broken_code": "/locations", "broken_code_run": f"/runs/{run}"}
        screenshots.take(team, pages | screenshots.of_backfill("broken_code", backfill))
    finally:
        team.assets.clear()
        team.assets.update(whole)
        team.restart("assets")
    # The next attempt is a minute after the last one.
    team.clock.move(timedelta(minutes=2))
    assert team.wait_for_backfill(backfill) == "COMPLETED_SUCCESS"
    wait_until(lambda: team.status(run) == "SUCCESS", 300, team.logs)
    plant.require_each_sound_once("freesound", MONTHS)


def test_a_run_that_ends_with_its_server_is_run_again(plant: Plant) -> None:
    plant.new_clips()
    team = plant.team
    backfill = team.backfill([["soundbible", name] for name in CRAWL], ["catalogue"])
    wait_until(lambda: any(run.status == "STARTED" for run in team.of_backfill(backfill)), 300, team.logs)
    team.restart("assets", waits=False)
    # `end_dead_runs` finds that it has no process. It looks twice, a minute apart: were the clock moved
    # meanwhile, the run that follows could lose its lease.
    team.wait_for_backfill(backfill)
    team.settle()
    runs = team.of_backfill(backfill)
    statuses = [run.status for run in runs]
    assert statuses == ["SUCCESS", "FAILURE"], [(run.id, run.status, run.tags) for run in runs]
    pages = {"restarted_server_run": f"/runs/{runs[1].id}"}
    screenshots.take(team, pages | screenshots.of_backfill("restarted_server", backfill))
    plant.require_each_sound_once("soundbible", ("catalogue",))
