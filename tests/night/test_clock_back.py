"""The clock goes back between two crawls, as when a wrong clock is set right, and the daemon is restarted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.night import screenshots
from tests.night.conftest import CRAWL, Plant

pytestmark = [pytest.mark.soak, pytest.mark.alone]

BY = timedelta(hours=3)


def test_the_later_crawl_counts_whatever_its_clock_says(plant: Plant) -> None:
    team = plant.team
    keys = [["bbc_sound_effects", name] for name in CRAWL]
    for _ in range(2):
        plant.new_clips()
        assert team.wait_for_backfill(team.backfill(keys, ["catalogue"])) == "COMPLETED_SUCCESS"
    before = set(team.tables().read(["bbc_sound_effects", "raw_clips"]).column("clip_id").to_pylist())
    team.clock.move(-BY)
    try:
        # Else the queue waits until the clock is where it was: Dagster counts its pauses by the wall clock.
        team.stop("daemon")
        team.start("daemon")
        plant.new_clips()
        assert team.wait_for_backfill(team.backfill(keys, ["catalogue"])) == "COMPLETED_SUCCESS"
        tables = team.tables()
        after = set(tables.read(["bbc_sound_effects", "raw_clips"]).column("clip_id").to_pylist())
        assert before < after
        ledger = tables.read(["bbc_sound_effects", "ledger"]).to_pylist()
        assert {row["clip_id"] for row in ledger} == after
        plant.require_each_sound_once("bbc_sound_effects", ("catalogue",))
        pages = {"clock_back": "/assets/bbc_sound_effects/ledger?view=partitions", "clock_back_runs": "/runs"}
        screenshots.take(team, pages | {"clock_back_daemons": "/health"})
        # Nothing is new to a crawl after it.
        assert team.wait_for_backfill(team.backfill(keys, ["catalogue"])) == "COMPLETED_SUCCESS"
        assert set(team.tables().read(["bbc_sound_effects", "raw_clips"])["clip_id"].to_pylist()) == after
    finally:
        team.clock.move(BY)
