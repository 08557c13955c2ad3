"""Plots for the UI and the report: functions from numbers to figures."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2933"
FAINT = "#9aa5b1"
PAPER = "#ffffff"
# In inches. Small, so that text is readable on the screen of a phone.
WIDTH = 4.0
# Okabe and Ito's colours, which colour-blind readers can distinguish.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b5a900", "#7f8c99")
# The most names below an axis that are still readable.
MAX_NAMED = 8
CSS_COLOURS = {
    INK: "currentColor",
    FAINT: f"var(--faint, {FAINT})",
    PAPER: f"var(--paper, {PAPER})",
    **{colour: f"var(--series-{number}, {colour})" for number, colour in enumerate(COLOURS)},
}


def histogram(values: Sequence[float], xlabel: str, ylabel: str, bins: int = 30) -> Figure:
    """A histogram of values."""
    figure, axes = _figure()
    axes.hist(values, bins=bins, color=COLOURS[0], edgecolor=PAPER, linewidth=0.5)
    return _finish(figure, axes, xlabel, ylabel)


def histograms(groups: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, bins: int = 30) -> Figure:
    """A stacked histogram of several groups of values."""
    figure, axes = _figure()
    shown = {name: values for name, values in groups.items() if len(values)}
    if shown:
        axes.hist(
            list(shown.values()),
            bins=bins,
            stacked=True,
            label=list(shown),
            color=[COLOURS[i % len(COLOURS)] for i in range(len(shown))],
            edgecolor=PAPER,
            linewidth=0.4,
        )
        _legend(axes)
    return _finish(figure, axes, xlabel, ylabel)


def panels(
    groups: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    bins: int = 30,
    *,
    log: bool = False,
    whole: bool = False,
) -> Figure:
    """One histogram per group of values, with a common axis.

    Each has its own height, so that a large group does not hide small ones.

    Args:
        groups: empty groups are not shown.
        log: a logarithmic axis, for values above 0 that span decades.
        whole: one bin per whole number, for counts.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    groups = {name: values for name, values in groups.items() if len(values)}
    if not groups:
        return _finish(*_figure(), xlabel, ylabel)
    least = min(min(values) for values in groups.values())
    most = max(max(values) for values in groups.values())
    if whole:
        edges = [number - 0.5 for number in range(math.floor(least), math.floor(most) + 2)]
    else:
        # With a margin at both ends, since bins of equal values would have no width.
        ends = (least * 0.99, most * 1.01) if log else (least - 0.01, most + 0.01)
        edges = [_between(*ends, number / bins, log) for number in range(bins + 1)]
    figure = Figure(figsize=(WIDTH, 0.5 + 0.85 * len(groups)), layout="constrained")
    column = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
    for number, (axes, (name, values)) in enumerate(zip(column, groups.items(), strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        axes.hist(values, bins=edges, color=colour, edgecolor=PAPER, linewidth=0.4)
        axes.set_title(name, loc="left", fontsize=8, color=INK, pad=2)
        axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        _finish(figure, axes, xlabel if axes is column[-1] else "", "")
    last = column[-1]
    if log:
        last.set_xscale("log")
        last.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        last.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        last.xaxis.set_minor_locator(NullLocator())
    elif whole:
        last.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supylabel(ylabel, fontsize=9, color=INK)
    return figure


def shares(groups: Mapping[str, Mapping[str, float]], xlabel: str) -> Figure:
    """The composition of each group in percent: one horizontal bar per group, one part per series."""
    figure, axes = _figure()
    series = list(dict.fromkeys(name for parts in groups.values() for name in parts))
    names = list(groups)
    left = [0.0] * len(names)
    for number, name in enumerate(series):
        widths = [
            100 * parts.get(name, 0) / total if (total := sum(parts.values())) else 0.0
            for parts in groups.values()
        ]
        if not any(widths):
            continue
        colour = COLOURS[number % len(COLOURS)]
        axes.barh(names, widths, 0.62, left=left, label=name, color=colour, edgecolor=PAPER, linewidth=0.6)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    if any(left):
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    _finish(figure, axes, xlabel, "")
    axes.grid(visible=False, axis="y")
    return figure


def lines(xs: Sequence[float], series: Mapping[str, Sequence[float]], xlabel: str, ylabel: str) -> Figure:
    """One line per series."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure()
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(xs, values, label=name, color=colour, linewidth=1.8, marker="o", markersize=3)
    if all(float(x).is_integer() for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return _finish(figure, axes, xlabel, ylabel)


def grouped_bars(groups: Mapping[str, Mapping[str, float]], ylabel: str) -> Figure:
    """Grouped bars: one group per name, one bar per series."""
    figure, axes = _figure()
    series = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    width = 0.8 / max(len(series), 1)
    for number, name in enumerate(series):
        places = [place + number * width - 0.4 + width / 2 for place in range(len(groups))]
        heights = [bars.get(name, 0.0) for bars in groups.values()]
        drawn = axes.bar(places, heights, width * 0.92, label=name, color=COLOURS[number % len(COLOURS)])
        axes.bar_label(drawn, fmt="%.1f", fontsize=7, color=INK, padding=1)
    axes.set_xticks(range(len(groups)), list(groups))
    _legend(axes)
    return _finish(figure, axes, "", ylabel)


def stacked_bars(groups: Mapping[str, Mapping[str, float]], ylabel: str) -> Figure:
    """One stacked bar per group. If there are many groups, only some have a label."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure()
    names = list(groups)
    foot = [0.0] * len(names)
    for number, part in enumerate(dict.fromkeys(part for parts in groups.values() for part in parts)):
        heights = [parts.get(part, 0.0) for parts in groups.values()]
        axes.bar(range(len(names)), heights, 0.8, foot, label=part, color=COLOURS[number % len(COLOURS)])
        foot = [low + height for low, height in zip(foot, heights, strict=True)]
    every = max(1, -(-len(names) // MAX_NAMED))
    axes.set_xticks(range(0, len(names), every), names[::every], rotation=30 if len(names) > 4 else 0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if groups:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    return _finish(figure, axes, "", ylabel)


def grouped_barh(
    groups: Mapping[str, Mapping[str, float]], xlabel: str, decimals: int = 1, order: Sequence[str] = ()
) -> Figure:
    """Grouped horizontal bars: one group per name, one bar per series of the group. Values may be negative.

    Args:
        order: of the series. Others follow in the order of the groups.
    """
    from matplotlib.figure import Figure

    there = dict.fromkeys(name for bars in groups.values() for name in bars)
    series = [*(name for name in order if name in there), *(name for name in there if name not in order)]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.22 * len(groups) * (len(series) + 1)), layout="constrained")
    axes = figure.add_subplot()
    thick = 0.8 / max(len(series), 1)
    for number, name in enumerate(series):
        having = [place for place, bars in enumerate(groups.values()) if name in bars]
        places = [place + (number + 0.5) * thick - 0.4 for place in having]
        widths = [bars[name] for bars in groups.values() if name in bars]
        colour = COLOURS[number % len(COLOURS)]
        drawn = axes.barh(places, widths, thick * 0.9, label=name, color=colour)
        axes.bar_label(drawn, fmt=f"%.{decimals}f", fontsize=7, color=INK, padding=2)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.margins(x=0.14)
    if len(series) > 1:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    _finish(figure, axes, xlabel, "")
    axes.grid(visible=False, axis="y")
    return figure


def diverging(left: Mapping[str, float], right: Mapping[str, float], xlabel: str) -> Figure:
    """Two ranked lists side by side: one named bar per entry, the longest first."""
    from matplotlib.figure import Figure

    rows = max(len(left), len(right), 1)
    figure = Figure(figsize=(WIDTH, 0.8 + 0.19 * rows), layout="constrained")
    for side, (axes, bars) in enumerate(zip(figure.subplots(1, 2), (left, right), strict=True)):
        axes.barh(range(len(bars)), [abs(value) for value in bars.values()], 0.7, color=COLOURS[side])
        axes.set_yticks(range(len(bars)), list(bars), fontsize=8)
        axes.set_ylim(rows - 0.5, -0.5)
        _finish(figure, axes, "", "")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_title(("disappear", "appear")[side], loc="left", fontsize=9, color=INK)
    figure.supxlabel(xlabel, fontsize=9, color=INK)
    return figure


def curves(series: Mapping[str, Sequence[tuple[float, float]]], xlabel: str, ylabel: str) -> Figure:
    """One line per series, each with its own values along the axis."""
    figure, axes = _figure()
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, color=colour, linewidth=1.6)
    if series:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    return _finish(figure, axes, xlabel, ylabel)


def by_month(series: Mapping[str, Mapping[str, float]], xlabel: str, ylabel: str) -> Figure:
    """One line per series, with one value per month (`YYYY-MM`). A month without a value is a gap.

    Args:
        series: at least one, none of them empty.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure()
    for number, (name, values) in enumerate(series.items()):
        known = {int(month[:4]) * 12 + int(month[5:7]) - 1: value for month, value in values.items()}
        months = range(min(known), max(known) + 1)
        ys = [known.get(month, math.nan) for month in months]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(months, ys, label=name, color=colour, linewidth=1.6, marker="o", markersize=3)
    # A single month has no width, and values of 0 have no height.
    axes.set_xlim(axes.dataLim.xmin - 0.5, axes.dataLim.xmax + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(lambda month, _: f"{int(month) // 12:04d}-{int(month) % 12 + 1:02d}")
    axes.set_ylim(0, None if axes.dataLim.ymax > 0 else 1)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    return _finish(figure, axes, xlabel, ylabel)


def densities(groups: Mapping[str, Sequence[float]], edges: Sequence[float], xlabel: str) -> Figure:
    """The distributions of several groups of values, as outlines with the same area.

    Args:
        edges: of the bins, which have equal width. The last bin includes its right edge.
    """
    import numpy as np

    figure, axes = _figure()
    for number, (name, values) in enumerate(groups.items()):
        if len(values):
            shares = np.histogram(values, bins=edges)[0] / len(values) * 100
            axes.stairs(shares, edges, label=name, color=COLOURS[number % len(COLOURS)], linewidth=1.6)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=INK)
    axes.set_ylim(bottom=0)
    return _finish(figure, axes, xlabel, "share of the source (%)")


def as_markdown(figure: Figure) -> str:
    """A figure as a Markdown image, for Dagster's metadata."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return f"![plot](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def as_svg(figure: Figure, name: str = "figure") -> str:
    """A figure as an SVG element, for an HTML page.

    Text has the page's colour and fonts. The other colours can be set with the CSS variables `--series-0`,
    `--series-1`, …, `--faint` and `--paper`. Equal numbers give equal bytes.

    Args:
        name: prefix of all ids in the element; must be unique on the page.
    """
    import matplotlib

    buffer = io.StringIO()
    nothing_about_the_file = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": "wavcaps", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata=nothing_about_the_file, transparent=True)
    text = buffer.getvalue()
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text[text.index("<svg") :])
    # A style sheet in the element would apply to the whole page.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    for colour, variable in CSS_COLOURS.items():
        text = text.replace(colour, variable)
    return text.replace("<svg ", '<svg stroke-linejoin="round" ', 1)


def _between(low: float, high: float, share: float, log: bool) -> float:
    return low * (high / low) ** share if log else low + (high - low) * share


def _figure() -> tuple[Figure, Axes]:
    # Not pyplot: its figures stay in memory until they are closed, and it is not thread-safe.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    return figure, figure.add_subplot()


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def _finish(figure: Figure, axes: Axes, xlabel: str, ylabel: str) -> Figure:
    axes.set_xlabel(xlabel, color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    axes.tick_params(colors=INK, labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure
