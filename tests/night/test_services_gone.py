"""Postgres, or the S3 server, is gone for a minute during a backfill."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.night.conftest import CRAWL, MONTHS, Plant
from tests.support.dagster_host import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.alone]

OUTAGE_S = 60


@pytest.mark.parametrize("service", ["postgres", "bucket"])
def test_the_backfill_goes_on_afterwards(plant: Plant, service: str) -> None:
    plant.new_clips()
    team = plant.team
    gone = team.postgres if service == "postgres" else team.bucket
    backfill = team.backfill([["freesound", name] for name in CRAWL], MONTHS)
    wait_until(lambda: any(run.status == "STARTED" for run in team.of_backfill(backfill)), 300, team.logs)
    gone.shut()
    time.sleep(OUTAGE_S)
    gone.open()
    wait_until(team.answers, 120, team.logs)
    # Runs whose process has ended are found by `end_dead_runs`, whose minute is this one.
    for _ in range(4):
        time.sleep(20)
        team.clock.move(timedelta(minutes=2))
    status = team.wait_for_backfill(backfill)
    ended = {run.status for run in team.of_backfill(backfill)}
    assert ended <= {"SUCCESS", "FAILURE"}
    assert (status == "COMPLETED_SUCCESS") == (ended == {"SUCCESS"})
    # What failed is done by the next one, without a sound that was fetched already.
    if status != "COMPLETED_SUCCESS":
        again = team.backfill([["freesound", name] for name in CRAWL], MONTHS)
        assert team.wait_for_backfill(again) == "COMPLETED_SUCCESS"
    plant.require_each_sound_once("freesound", MONTHS)
