"""The machine sleeps for a while, as a laptop or a virtual machine does."""

from __future__ import annotations

import time

import pytest

from tests.night.conftest import CRAWL, Plant

pytestmark = [pytest.mark.soak, pytest.mark.alone]

ASLEEP_S = 70


def test_its_code_servers_go_on(plant: Plant) -> None:
    plant.new_clips()
    team = plant.team
    team.freeze("assets")
    time.sleep(ASLEEP_S)
    team.thaw("assets")
    # A code server that has missed heartbeats would end within this time.
    time.sleep(5)
    keys = [["soundbible", name] for name in CRAWL]
    assert team.wait_for_backfill(team.backfill(keys, ["catalogue"]), 600) == "COMPLETED_SUCCESS"
    plant.require_each_sound_once("soundbible", ("catalogue",))
