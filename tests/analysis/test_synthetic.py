"""AI-made sounds by month, against counts made by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from wavcaps_assets.analysis import figures
from wavcaps_assets.analysis.synthetic import count_synthetic
from wavcaps_assets.tables.analysis import SYNTHETIC_SOUNDS

Sound = tuple[str | None, bool | None]


def crawled(*sounds: Sound) -> pa.Table:
    created, synthetic = zip(*sounds, strict=True) if sounds else ((), ())
    return pa.table({"created": pa.array(created, pa.string()), "synthetic": pa.array(synthetic, pa.bool_())})


OCTOBER, NOVEMBER = "2026-10-31T23:59:59", "2026-11-01T00:00:00.123"


def test_the_share_of_a_month_is_of_the_sounds_of_which_it_is_known() -> None:
    first = crawled((OCTOBER, True), (OCTOBER, False), (OCTOBER, None), (NOVEMBER, False))
    # A month may be in several partitions.
    second = crawled((OCTOBER, False), (OCTOBER, True), (NOVEMBER, False), ("2005-04-01T00:00:00", None))
    table = count_synthetic({"freesound": [first, second, crawled()]})
    assert table.to_pylist() == [
        {"source": "freesound", "month": "2005-04", "clips": 1, "known": 0, "synthetic": None, "share": None},
        {"source": "freesound", "month": "2026-10", "clips": 5, "known": 4, "synthetic": 2, "share": 0.5},
        {"source": "freesound", "month": "2026-11", "clips": 2, "known": 2, "synthetic": 0, "share": 0.0},
    ]


def test_a_sound_without_a_date_has_no_month() -> None:
    odd = crawled(
        (None, True), ("yesterday", True), ("26-10-31", True), (OCTOBER, True), ("2026-10-31", False)
    )
    (row,) = count_synthetic({"freesound": [odd]}).to_pylist()
    assert (row["month"], row["clips"], row["share"]) == ("2026-10", 2, 0.5)


def test_a_source_that_never_says_it_has_no_rows() -> None:
    table = count_synthetic(
        {"soundbible": [crawled((OCTOBER, None))], "freesound": [crawled((OCTOBER, False))]}
    )
    assert table.column("source").to_pylist() == ["freesound"]


@pytest.mark.parametrize("crawl", [[], [crawled()], [crawled((OCTOBER, None))]])
def test_nothing_known_is_an_empty_table_without_a_plot(crawl: list[pa.Table]) -> None:
    table = count_synthetic({"freesound": crawl})
    assert (table.num_rows, table.schema) == (0, SYNTHETIC_SOUNDS.arrow)
    assert figures.plot_synthetic(table) is None
    assert count_synthetic({}).num_rows == 0


def test_the_plot_has_gaps_where_it_is_not_known() -> None:
    months = [("2026-01-01", True), ("2026-01-02", False), ("2026-02-01", None), ("2026-04-01", False)]
    table = count_synthetic({"freesound": [crawled(*months)], "freesound_data_packs": [crawled(months[0])]})
    figure = figures.plot_synthetic(table)
    assert figure is not None
    january = 2026 * 12
    first, second = figure.axes[0].lines
    shares = np.asarray(first.get_ydata(), dtype=float)
    np.testing.assert_array_equal(shares, [50.0, np.nan, np.nan, 0.0])
    np.testing.assert_array_equal(np.asarray(first.get_xdata()), np.arange(january, january + 4))
    np.testing.assert_array_equal(np.asarray(second.get_ydata()), [100.0])
    assert figure.axes[0].get_xlim() == (january - 0.5, january + 3.5)
    assert figure.axes[0].xaxis.get_major_formatter()(january + 3, 0) == "2026-04"


def test_a_single_month_without_ai_made_sounds_has_an_axis() -> None:
    figure = figures.plot_synthetic(count_synthetic({"freesound": [crawled((OCTOBER, False))]}))
    assert figure is not None
    october = 2026 * 12 + 9
    assert figure.axes[0].get_xlim() == (october - 0.5, october + 0.5)
    assert [tick for tick in figure.axes[0].get_xticks() if abs(tick - october) <= 0.5] == [october]
    assert figure.axes[0].get_ylim() == (0, 1)
