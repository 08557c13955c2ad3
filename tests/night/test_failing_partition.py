"""A partition that always fails: the others are crawled, and the web UI says which one failed."""

from __future__ import annotations

import re

import pytest

from tests.night import screenshots
from tests.night.conftest import CRAWL, MONTHS, Plant

pytestmark = [pytest.mark.soak, pytest.mark.alone]

STATS = """query Stats($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numFailed } } } }"""
BROKEN = MONTHS[0]


def test_a_backfill_with_it_ends_as_failed_and_the_rest_is_there(plant: Plant) -> None:
    plant.new_clips()
    team = plant.team
    plant.sites.broken = re.compile(rf"freesound/apiv2/search.*{BROKEN}-01")
    try:
        backfill = team.backfill([["freesound", name] for name in CRAWL], MONTHS)
        assert team.wait_for_backfill(backfill) == "COMPLETED_FAILED"
        runs = team.of_backfill(backfill)
        failed = [run for run in runs if run.partition == BROKEN]
        assert {run.status for run in failed} == {"FAILURE"}
        assert {run.status for run in runs if run not in failed} == {"SUCCESS"}
        # A step that fails is not started again: the site would be asked the same.
        assert len(failed) == 1
        stats = team.graphql(STATS, key={"path": ["freesound", "raw_clips"]})["assetNodeOrError"]
        assert stats["partitionStats"]["numFailed"] == 1
        pages = {"failing_asset": "/assets/freesound/raw_clips?view=partitions"}
        reason = f"/runs/{failed[0].id}?logs=type%3ASTEP_FAILURE"
        pages |= {"failing_run": f"/runs/{failed[0].id}", "failing_reason": reason}
        screenshots.take(team, pages | screenshots.of_backfill("failing", backfill))
    finally:
        plant.sites.broken = None
    again = team.backfill([["freesound", name] for name in CRAWL], [BROKEN])
    assert team.wait_for_backfill(again) == "COMPLETED_SUCCESS"
    plant.require_each_sound_once("freesound", MONTHS)
