"""docs/scale.md follows from the settings and the measured figures; quotas take the time that it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.scale_figures import STAGES, days, figures, stage_at
from tests.network.test_quotas import Clock
from tests.support.paths import ROOT
from wavcaps_assets.analysis.paper_figures import TABLE_III
from wavcaps_assets.network.quotas import DAY_S, MINUTE_S, Limit, Quotas
from wavcaps_assets.network.settings import NetworkSettings

SIZES = {"10 million": 10_000_000, "100 million": 100_000_000}


def rows() -> dict[str, list[str]]:
    """The cells of all tables of the page, by their first one."""
    lines = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row[1:] for row in cells}


@pytest.mark.parametrize("column", range(len(SIZES)))
def test_the_figures_follow_from_the_settings(column: int) -> None:
    clips = list(SIZES.values())[column]
    found = rows()
    assert found["clips"][: len(SIZES)] == list(SIZES)
    expected = figures(clips)
    assert {name: found[name][column] for name in expected} == expected


def test_the_stages_are_on_the_line_through_what_was_measured() -> None:
    found = rows()
    for name in STAGES:
        expected = [*stage_at(name, 10_000_000), *stage_at(name, 100_000_000)]
        assert found[name][4:] == expected


def test_the_mean_clip_is_the_papers() -> None:
    (whole,) = (row for row in TABLE_III if row.source == "wavcaps")
    assert f"{whole.after.mean_duration_s} s" in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_quota_takes_the_days_that_the_page_says(tmp_path: Path) -> None:
    quota = NetworkSettings().quota_of("freesound.org")
    assert quota.per_minute and quota.per_day
    limits = (Limit(quota.per_minute, MINUTE_S), Limit(quota.per_day, DAY_S))
    clock, requests = Clock(), 2 * quota.per_day + 1
    quotas, began, sent = Quotas(tmp_path / "quotas", clock), clock.now, 0
    while sent < requests:
        request_id, wait = quotas.acquire("freesound.org", limits)
        sent += request_id is not None
        clock.now += wait
    # The first one after two days' quotas is sent as the third day begins.
    assert (clock.now - began) / DAY_S == pytest.approx(days(requests - 1, "freesound.org"), abs=0.05)
