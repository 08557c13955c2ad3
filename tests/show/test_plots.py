"""Plots as SVG: text stays text, colours follow the page, and nothing leaks into the rest of it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from matplotlib.patches import Rectangle

from wavcaps_assets.show import plots

SVG = "{http://www.w3.org/2000/svg}"


def test_an_svg_is_at_home_in_any_page() -> None:
    bars = {"R@1": {"trained": 12.5, "chance": 1.0}}
    svg = plots.as_svg(plots.grouped_bars(bars, "recall (%)"), "scores")
    root = ElementTree.fromstring(svg)
    texts = {"".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")}
    assert {"R@1", "trained", "chance", "recall (%)", "12.5"} <= texts
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert all(name.startswith("scores-") for name in ids)
    assert set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg)) <= set(ids)
    assert not list(root.iter(f"{SVG}style"))
    # Black and white would vanish on a page of that colour.
    assert plots.INK not in svg
    assert "currentColor" in svg
    assert "var(--series-1" in svg
    assert svg == plots.as_svg(plots.grouped_bars(bars, "recall (%)"), "scores")


@pytest.mark.parametrize("scale", [{"log": True}, {"whole": True}, {}])
def test_panels_count_every_value_in_its_own_panel(scale: dict[str, bool]) -> None:
    groups = {"many": [1.0, 2.0, 2.0, 40.0], "equal": [10.0, 10.0]}
    figure = plots.panels(groups, "duration (s)", "clips", **scale)
    assert [axes.get_title("left") for axes in figure.axes] == ["many", "equal"]
    assert [bar_heights(axes) for axes in figure.axes] == [4, 2]


def test_shares_fill_each_bar_but_an_empty_one() -> None:
    groups = {"a": {"published": 3, "dropped": 1}, "b": {"published": 0, "dropped": 0}}
    (axes,) = plots.shares(groups, "share (%)").axes
    widths = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert widths == [75.0, 0.0, 25.0, 0.0]


def bar_heights(axes: object) -> float:
    patches = getattr(axes, "patches", [])
    return sum(bar.get_height() for bar in patches if isinstance(bar, Rectangle))
