"""The plots of the analysis, for the UI and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.analysis.paper_figures import TABLE_III, WHOLE_SET
from wavcaps_assets.show import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# In the paper's order, without the "subset" of "AudioSet SL subset".
NAMES = {row.source: row.row.removesuffix(" subset") for row in TABLE_III} | {WHOLE_SET: "all"}
STAGES = {"before": "raw text", "after": "caption"}
TWENTIETHS = [number / 20 for number in range(21)]
WORDS_SHOWN = 25


def name_of(source: str) -> str:
    """The display name of a source."""
    return NAMES.get(source, source)


def in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in the order of Table III. Sources that the paper does not have come before the whole set."""
    return sorted(rows, key=lambda row: place_of(row["source"]))


def place_of(source: str) -> tuple[int, str]:
    """The sort key of a source."""
    places = list(NAMES)
    return (places.index(source), "") if source in NAMES else (places.index(WHOLE_SET) - 1, f" {source}")


def plot_statistics(statistics: pa.Table) -> Figure:
    """Mean words before and after, of this run and of the paper."""
    groups: dict[str, dict[str, float]] = {}
    for row in statistics.to_pylist():
        bars = groups.setdefault(name_of(row["source"]), {})
        for who, column in (("this run", "mean_words"), ("the paper", "paper_mean_words")):
            if row[column] is not None:
                bars[f"{STAGES[row['stage']]}, {who}"] = row[column]
    order = [f"{stage}, {who}" for stage in STAGES.values() for who in ("this run", "the paper")]
    return plots.grouped_barh(groups, "mean words", order=order)


def plot_similarity(measures: pa.Table) -> Figure:
    """Figure 2a: the distribution of the Jaccard similarity, by source."""
    groups = _by_source(measures, "jaccard")
    return plots.densities(groups, TWENTIETHS, "Jaccard similarity of raw text and caption")


def plot_readability(readability: pa.Table) -> Figure:
    """Figure 2c: the mean grade before and after, by source."""
    groups: dict[str, dict[str, float]] = {}
    for row in in_order(readability.to_pylist()):
        if row["mean"] is not None:
            groups.setdefault(name_of(row["source"]), {})[STAGES[row["stage"]]] = row["mean"]
    return plots.grouped_barh(groups, "mean Flesch-Kincaid grade", order=list(STAGES.values()))


def plot_words(words: pa.Table) -> Figure:
    """The words that vanish and those that appear, by the z score of the change."""
    sides: dict[str, dict[str, float]] = {"vanishes": {}, "appears": {}}
    for row in words.to_pylist():
        if row["rank"] <= WORDS_SHOWN:
            sides[row["side"]][plot_label(row["word"])] = row["z"]
    return plots.diverging(sides["vanishes"], sides["appears"], "z of the log-odds ratio")


def plot_durations(wavcaps: pa.Table) -> Figure | None:
    """Figure 3: the durations of the clips, by source; None if no clip has a duration above 0."""
    return plot_duration_groups(_by_source(wavcaps, "duration_s"))


def plot_duration_groups(groups: Mapping[str, Sequence[float]]) -> Figure | None:
    """As `plot_durations`, from durations (s) by source. Values that are not above 0 are ignored."""
    known = {name: [value for value in values if 0 < value < math.inf] for name, values in groups.items()}
    groups = {name: values for name, values in known.items() if values}
    return plots.panels(groups, "duration (s), logarithmic", "clips", log=True) if groups else None


def plot_uniqueness(unique: pa.Table) -> Figure:
    """The shares of captions that occur once and more than once."""
    groups = {
        name_of(row["source"]): {"once": row["once"], "by several clips": row["captions"] - row["once"]}
        for row in in_order(unique.to_pylist())
    }
    return plots.shares(groups, "share of the captions (%)")


def plot_vocabulary(vocabulary: pa.Table) -> Figure:
    """The growth of the vocabulary with the number of captions."""
    series = {
        name_of(row["source"]): [(point["captions"], point["words"]) for point in row["growth"]]
        for row in in_order(vocabulary.to_pylist())
    }
    return plots.curves(series, "captions", "different words")


def plot_kinds(kinds: pa.Table) -> Figure | None:
    """The number of odd texts by kind and stage; None if there are none."""
    groups: dict[str, dict[str, float]] = {}
    for row in kinds.to_pylist():
        if row["kind"] != "plain":
            bars = groups.setdefault(row["kind"].replace("_", " "), {})
            bars[STAGES[row["stage"]]] = bars.get(STAGES[row["stage"]], 0) + row["texts"]
    return plots.grouped_barh(groups, "texts", decimals=0, order=list(STAGES.values())) if groups else None


def plot_licences(licences: pa.Table) -> Figure:
    """The shares of licence classes, by source."""
    groups: dict[str, dict[str, float]] = {}
    for row in in_order(licences.to_pylist()):
        classes = groups.setdefault(name_of(row["source"]), {})
        classes[row["licence_class"]] = classes.get(row["licence_class"], 0) + row["clips"]
    return plots.shares(groups, "share of the clips (%)")


def plot_synthetic(synthetic: pa.Table) -> Figure | None:
    """The share of AI-made sounds by month of upload; None if it is not known of any month."""
    series: dict[str, dict[str, float]] = {}
    for row in in_order(synthetic.to_pylist()):
        if row["share"] is not None:
            series.setdefault(name_of(row["source"]), {})[row["month"]] = 100 * row["share"]
    return plots.by_month(series, "month of upload", "AI-made sounds (%)") if series else None


def plot_data_sets(data_sets: pa.Table) -> Figure:
    """The number of clips of each data set, if known."""
    known = {row["data_set"]: {"clips": float(row["clips"])} for row in data_sets.to_pylist() if row["clips"]}
    return plots.grouped_barh(known, "audio clips", decimals=0)


def plot_label(word: str) -> str:
    """A crawled word as a label: without Matplotlib's markup, and cut if long."""
    return (word if len(word) <= 18 else word[:17] + "…").replace("$", "")


def _by_source(table: pa.Table, column: str) -> Mapping[str, Sequence[float]]:
    groups = {}
    for source in sorted(pc.unique(table.column("source")).to_pylist(), key=place_of):
        values = table.filter(pc.equal(table.column("source"), source)).column(column).drop_null()
        if len(values):
            groups[name_of(source)] = values.to_numpy()
    return groups
