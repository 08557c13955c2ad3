"""The plots of the analysis, from its tables; the UI and the report show the same."""

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

# In the paper's order; its "AudioSet SL subset" is short for a plot as it is elsewhere.
NAMES = {row.source: row.row.removesuffix(" subset") for row in TABLE_III} | {WHOLE_SET: "all"}
STAGES = {"before": "raw text", "after": "caption"}
TWENTIETHS = [number / 20 for number in range(21)]
WORDS_DRAWN = 25


def name_of(source: str) -> str:
    """A source's name for people."""
    return NAMES.get(source, source)


def in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of several sources as Table III has them; those that the paper lacks before the whole set."""
    return sorted(rows, key=lambda row: place_of(row["source"]))


def place_of(source: str) -> tuple[int, str]:
    """A source's place among others."""
    places = list(NAMES)
    return (places.index(source), "") if source in NAMES else (places.index(WHOLE_SET) - 1, f" {source}")


def plot_statistics(statistics: pa.Table) -> Figure:
    """Mean words before and after, this run's and the paper's."""
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
    """The words that vanish and those that appear, by how sure the change is."""
    sides: dict[str, dict[str, float]] = {"vanishes": {}, "appears": {}}
    for row in words.to_pylist():
        if row["rank"] <= WORDS_DRAWN:
            sides[row["side"]][plot_label(row["word"])] = row["z"]
    return plots.diverging(sides["vanishes"], sides["appears"], "z of the log-odds ratio")


def plot_durations(wavcaps: pa.Table) -> Figure | None:
    """Figure 3: how long the clips are, by source; None where no clip has a duration above 0."""
    return plot_duration_groups(_by_source(wavcaps, "duration_s"))


def plot_duration_groups(groups: Mapping[str, Sequence[float]]) -> Figure | None:
    """The same of durations (s) by the sources' names; what is no number above 0 is not drawn."""
    known = {name: [value for value in values if 0 < value < math.inf] for name, values in groups.items()}
    drawn = {name: values for name, values in known.items() if values}
    return plots.panels(drawn, "duration (s), logarithmic", "clips", log=True) if drawn else None


def plot_uniqueness(unique: pa.Table) -> Figure:
    """Which share of the captions is said once, and which again."""
    groups = {
        name_of(row["source"]): {"only once": row["once"], "by several clips": row["captions"] - row["once"]}
        for row in in_order(unique.to_pylist())
    }
    return plots.shares(groups, "share of the captions (%)")


def plot_vocabulary(vocabulary: pa.Table) -> Figure:
    """How the vocabulary grows with the captions."""
    series = {
        name_of(row["source"]): [(point["captions"], point["words"]) for point in row["growth"]]
        for row in in_order(vocabulary.to_pylist())
    }
    return plots.curves(series, "captions", "different words")


def plot_kinds(kinds: pa.Table) -> Figure | None:
    """What texts are odd, by stage; None where all are plain."""
    groups: dict[str, dict[str, float]] = {}
    for row in kinds.to_pylist():
        if row["kind"] != "plain":
            bars = groups.setdefault(row["kind"].replace("_", " "), {})
            bars[STAGES[row["stage"]]] = bars.get(STAGES[row["stage"]], 0) + row["texts"]
    return plots.grouped_barh(groups, "texts", decimals=0, order=list(STAGES.values())) if groups else None


def plot_licences(licences: pa.Table) -> Figure:
    """Which share of each source is under which class of licence."""
    groups: dict[str, dict[str, float]] = {}
    for row in in_order(licences.to_pylist()):
        classes = groups.setdefault(name_of(row["source"]), {})
        classes[row["licence_class"]] = classes.get(row["licence_class"], 0) + row["clips"]
    return plots.shares(groups, "share of the clips (%)")


def plot_data_sets(data_sets: pa.Table) -> Figure:
    """How many clips each data set has, where that is known."""
    known = {row["data_set"]: {"clips": float(row["clips"])} for row in data_sets.to_pylist() if row["clips"]}
    return plots.grouped_barh(known, "audio clips", decimals=0)


def plot_label(word: str) -> str:
    """A crawled word as a plot may show it: no mark-up of Matplotlib's, and not endless."""
    return (word if len(word) <= 18 else word[:17] + "…").replace("$", "")


def _by_source(table: pa.Table, column: str) -> Mapping[str, Sequence[float]]:
    groups = {}
    for source in sorted(pc.unique(table.column("source")).to_pylist(), key=place_of):
        values = table.filter(pc.equal(table.column("source"), source)).column(column).drop_null()
        if len(values):
            groups[name_of(source)] = values.to_numpy()
    return groups
