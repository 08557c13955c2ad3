"""The report's plots, as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from markupsafe import Markup

from wavcaps_assets.analysis.figures import plot_duration_groups
from wavcaps_assets.show import plots
from wavcaps_training.report.analysis import draw_analysis
from wavcaps_training.report.data import Funnel, ReportData, Scores, Training
from wavcaps_training.report.funnel import DROPPED_BY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODELS = ("trained", "untrained", "chance")


def draw_figures(data: ReportData) -> dict[str, Markup]:
    """The figures that the data allow, by name. Labels are this project's own, or single words of texts."""
    drawn = dict(_all(data))
    return {name: Markup(plots.as_svg(figure, name)) for name, figure in drawn.items()}


def _all(data: ReportData) -> Iterator[tuple[str, Figure]]:
    if data.funnels:
        fates = {funnel.title: _fates(funnel) for funnel in data.funnels}
        yield "fates", plots.shares(fates, "share of the records found (%)")
    if data.published:
        durations = {source.title: source.durations_s for source in data.published}
        words = {source.title: source.words for source in data.published}
        if (drawn := plot_duration_groups(durations)) is not None:
            yield "durations", drawn
        yield "words", plots.panels(words, "words in the caption", "clips", whole=True)
    if data.analysis is not None:
        yield from draw_analysis(data.analysis)
    if data.training is not None and data.training.learning_curve:
        yield from _learning_curve(data.training)
    if data.scores is not None:
        yield from _scores(data.scores)


def _fates(funnel: Funnel) -> dict[str, float]:
    """Records by what happened to them, in the same order for all sources."""
    fates = {"published": float(funnel.steps[-1] or 0)} | dict.fromkeys(DROPPED_BY.values(), 0.0)
    for reason in funnel.reasons:
        fates[reason.step] += reason.clips
    return {**fates, "waiting": funnel.waiting}


def _learning_curve(training: Training) -> Iterator[tuple[str, Figure]]:
    epochs = [entry["epoch"] for entry in training.learning_curve]

    def series(name: str) -> list[float]:
        return [entry[name] for entry in training.learning_curve]

    losses = {"train": series("train_loss"), "validation": series("validation_loss")}
    scores = [
        {score["name"]: score["value"] for score in entry["scores"]} for entry in training.learning_curve
    ]
    recalls = {f"R@{k}": [of_epoch[f"recall_at_{k}"] for of_epoch in scores] for k in (10, 1)}
    yield "loss", plots.lines(epochs, losses, "epoch", "loss")
    yield "recall", plots.lines(epochs, recalls, "epoch", "validation recall (%)")


def _scores(scores: Scores) -> Iterator[tuple[str, Figure]]:
    for direction, models in scores.values.items():
        groups: dict[str, dict[str, float]] = {}
        for model in MODELS:
            for metric, score in models.get(model, {}).items():
                if metric.startswith("R@"):
                    groups.setdefault(metric, {})[model] = score.value
        yield direction, plots.grouped_bars(groups, "recall (%)")
