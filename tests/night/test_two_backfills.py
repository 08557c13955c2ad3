"""Two backfills of one partition at once."""

from __future__ import annotations

import pytest

from tests.night import screenshots
from tests.night.conftest import CRAWL, Plant

pytestmark = [pytest.mark.soak, pytest.mark.alone]


def test_they_end_well_and_fetch_each_sound_once(plant: Plant) -> None:
    plant.new_clips()
    team = plant.team
    keys = [["soundbible", name] for name in CRAWL]
    backfills = [team.backfill(keys, ["catalogue"]) for _ in range(2)]
    assert [team.wait_for_backfill(one) for one in backfills] == ["COMPLETED_SUCCESS"] * 2
    assert [run.status for one in backfills for run in team.of_backfill(one)] == ["SUCCESS"] * 2
    screenshots.take(team, {"two_backfills": "/runs", "two_backfills_list": "/runs?view=backfills"})
    plant.require_each_sound_once("soundbible", ("catalogue",))
