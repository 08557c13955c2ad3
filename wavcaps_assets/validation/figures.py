"""The scores as a plot like Figure 4, and as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from wavcaps_assets.show.plots import COLOURS, FAINT, INK
from wavcaps_assets.show.previews import cell
from wavcaps_assets.validation.ratings import OPTIONS, SCORES, reasons
from wavcaps_assets.validation.scores import RaterWork

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches; the three parts of Figure 4 side by side.
SIZE = (9.0, 3.0)
OURS, SECOND, PAPERS = "caption under study", "second caption", "the paper"


def plot_scores(scores: pa.Table) -> Figure:
    """Figure 4: (a) how the ratings are distributed, (b) the options' shares, (c) the mean rating of each.

    Args:
        scores: `tables.VALIDATION_SCORES`.
    """
    from matplotlib.figure import Figure

    rows = {(row["measure"], row["group"]): row for row in scores.to_pylist()}
    figure = Figure(figsize=SIZE, layout="constrained")
    ratings, shares, means = figure.subplots(1, 3)
    numbers = [str(score) for score in SCORES]
    second = [rows.get(("second_score_share", number)) for number in numbers]
    width = 0.4 if any(second) else 0.8
    ours = [rows.get(("score_share", number)) for number in numbers]
    shift = -0.2 if any(second) else 0.0
    _bars(ratings, numbers, ours, 100, width, shift, OURS, COLOURS[0])
    if any(second):
        _bars(ratings, numbers, second, 100, width, 0.2, SECOND, COLOURS[4])
    _paper(ratings, ours, 100, shift)
    _finish(ratings, "(a) rating", "share of the ratings (%)")
    options = [rows.get(("option_share", option)) for option in OPTIONS]
    _bars(shares, OPTIONS, options, 100, 0.8, 0.0, OURS, COLOURS[0])
    _finish(shares, "(b) option", "share of the comparisons (%)")
    by_option = [rows.get(("mean_score_by_option", option)) for option in OPTIONS]
    _bars(means, OPTIONS, by_option, 1, 0.8, 0.0, OURS, COLOURS[0])
    _paper(means, by_option, 1, 0.0)
    means.set_ylim(1, 5)
    _finish(means, "(c) option", "mean rating")
    handles, labels = ratings.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=8, labelcolor=INK
    )
    return figure


def _bars(
    axes: Axes,
    names: Sequence[str],
    rows: Sequence[dict[str, Any] | None],
    scale: float,
    width: float,
    shift: float,
    label: str,
    colour: str,
) -> None:
    """Bars with intervals; no bar for a missing figure."""
    axes.set_xticks(range(len(names)), list(names))
    axes.set_xlim(-0.6, len(names) - 0.4)
    there = [(place, row) for place, row in enumerate(rows) if row is not None and row["value"] is not None]
    if not there:
        axes.text(0.5, 0.5, "no answers", transform=axes.transAxes, ha="center", fontsize=9, color=FAINT)
        return
    places = [place + shift for place, _ in there]
    axes.bar(places, [row["value"] * scale for _, row in there], width * 0.92, label=label, color=colour)
    for place, (_, row) in zip(places, there, strict=True):
        if row["low"] is not None:
            axes.vlines(place, row["low"] * scale, row["high"] * scale, color=INK, linewidth=1.1)


def _paper(axes: Axes, rows: Sequence[dict[str, Any] | None], scale: float, shift: float) -> None:
    """The paper's figures as marks."""
    there = [
        (place + shift, row["paper"] * scale)
        for place, row in enumerate(rows)
        if row is not None and row["paper"] is not None
    ]
    if there:
        axes.plot(*zip(*there, strict=True), "D", color=COLOURS[5], markersize=5, label=PAPERS)


def _finish(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set_xlabel(xlabel, color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    axes.tick_params(colors=INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def scores_table(scores: pa.Table) -> str:
    """Every figure with its interval and the paper's figure, in Markdown."""
    lines = [
        "| figure | of | here | interval | the paper | clips | answers | note |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in scores.to_pylist():
        interval = "" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"
        shown = [
            row["measure"].replace("_", " "),
            row["group"],
            _two(row["value"]),
            interval,
            _two(row["paper"]),
            str(row["clips"]),
            str(row["answers"]),
            row["note"],
        ]
        lines.append("| " + " | ".join(map(cell, shown)) + " |")
    return "\n".join(lines)


def raters_table(work: Sequence[RaterWork]) -> str:
    """The work of each rater, in Markdown."""
    lines = [
        "| rater | files | answers | gaps | not counted | mean rating |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for rater in work:
        shown = [
            rater.rater,
            rater.files,
            rater.answers,
            rater.gaps,
            rater.not_counted,
            _two(rater.mean_score),
        ]
        lines.append("| " + " | ".join(map(cell, shown)) + " |")
    return "\n".join(lines) if work else "*no raters*"


def problems(unusable: Mapping[str, str]) -> str:
    """The clips that could not be used, each with its problem, in Markdown."""
    if not unusable:
        return "*none*"
    lines = ["| clip | problem |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {cell(clip)} | {cell(why)} |" for clip, why in unusable.items())])


def reasons_table(ratings: pa.Table) -> str:
    """The answers and files that do not count, by reason, with an example, in Markdown."""
    counts = reasons(ratings)
    if not counts:
        return "*every answer counts*"
    lines = ["| reason | answers or files | for example |", "| --- | --- | --- |"]
    rows = ratings.to_pylist()
    for reason, count in counts.most_common():
        example = next(row for row in rows if row["reason"] == reason)
        where = cell(f"{example['file']}: {example['detail'] or example['item_id'] or ''}")
        lines.append(f"| {cell(reason)} | {count} | {where} |")
    return "\n".join(lines)


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
