"""The code of a location changes during a backfill: it does not load for a while, and its server restarts."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.night.conftest import CRAWL, MONTHS, Plant
from tests.support.dagster_host import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.alone]

LOAD_ERRORS = """{ workspaceOrError { ... on Workspace { locationEntries {
  name locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
# An environment in which the definitions do not load, as after a change with an error.
BROKEN = {"WAVCAPS_NO_SUCH_SETTING": "1"}


def test_what_waits_in_the_queue_goes_on_after_the_fix(plant: Plant) -> None:
    plant.new_clips()
    team = plant.team
    backfill = team.backfill([["freesound", name] for name in CRAWL], MONTHS)
    wait_until(lambda: len(team.of_backfill(backfill)) == len(MONTHS), 300, team.logs)
    wait_until(lambda: any(run.status == "STARTED" for run in team.of_backfill(backfill)), 300, team.logs)
    whole = dict(team.assets)
    team.assets |= BROKEN
    team.restart("assets")
    wait_until(lambda: "NO_SUCH_SETTING" in str(team.graphql(LOAD_ERRORS)), 180, team.logs)
    # The daemon has tried to start what is queued.
    time.sleep(30)
    queued = [run for run in team.of_backfill(backfill) if run.status == "QUEUED"]
    team.assets.clear()
    team.assets.update(whole)
    team.restart("assets")
    # The next attempt is a minute after the last one; runs whose process is gone are found in two minutes.
    for _ in range(4):
        time.sleep(15)
        team.clock.move(timedelta(minutes=2))
    team.wait_for_backfill(backfill)
    runs = team.of_backfill(backfill)
    assert {run.status for run in runs if run.id in {one.id for one in queued}} <= {"SUCCESS"}
    # A run that was in progress ended with its server, and one more took its place.
    done = {run.partition for run in runs if run.status == "SUCCESS"}
    assert done == set(MONTHS), [(run.partition, run.status, run.tags) for run in runs]
    plant.require_each_sound_once("freesound", MONTHS)
