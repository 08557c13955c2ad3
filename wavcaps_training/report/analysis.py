"""The tables of the analysis, as the report shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from wavcaps_assets.analysis import figures
from wavcaps_assets.show.text import shown
from wavcaps_assets.tables.analysis import TABLES
from wavcaps_assets.tables.asset_tables import TableStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = "analysis"
# In a list of words in a cell.
WORDS_SHOWN = 20


@dataclass(frozen=True)
class Analysis:
    """The tables of the analysis in the store, by their names in `tables.analysis`."""

    tables: Mapping[str, pa.Table]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """A table's rows, with texts as the report shows them; empty if the table does not exist."""
        table = self.tables.get(name)
        if table is None:
            return []
        rows = table.to_pylist()
        if "source" in table.column_names:
            rows = figures.in_order(rows)
        return [{column: _shown(value) for column, value in row.items()} for row in rows]

    def words(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The first words that disappear and the first that appear, side by side."""
        ranked = {(row["side"], row["rank"]): row for row in self.rows("words")}
        ranks = range(1, 1 + WORDS_SHOWN)
        return [
            (ranked.get(("vanishes", rank), {}), ranked.get(("appears", rank), {}))
            for rank in ranks
            if ("vanishes", rank) in ranked or ("appears", rank) in ranked
        ]

    def sides(self, name: str) -> list[dict[str, Any]]:
        """The rows of a source before and after, side by side."""
        by_source: dict[str, dict[str, Any]] = {}
        for row in self.rows(name):
            by_source.setdefault(row["source"], {"source": row["source"]})[row["stage"]] = row
        return [row for row in by_source.values() if {"before", "after"} <= row.keys()]


def read_analysis(tables: TableStore) -> Analysis | None:
    """The analysis in the store; None if there is none.

    Raises:
        StoreError: a table exists and cannot be read.
    """
    there = {
        schema.name: tables.read([GROUP, schema.name])
        for schema in TABLES
        if tables.exists([GROUP, schema.name], None)
    }
    return Analysis(there) if there else None


def draw_analysis(analysis: Analysis) -> Iterator[tuple[str, Figure]]:
    """The figures that the tables allow, by name."""
    drawn: dict[str, Callable[[pa.Table], Figure | None]] = {
        "set_statistics": figures.plot_statistics,
        "text_measures": figures.plot_similarity,
        "readability": figures.plot_readability,
        "odd_texts": figures.plot_kinds,
        "words": figures.plot_words,
        "unique_captions": figures.plot_uniqueness,
        "vocabulary": figures.plot_vocabulary,
        "licences": figures.plot_licences,
        "synthetic_sounds": figures.plot_synthetic,
        "data_sets": figures.plot_data_sets,
    }
    for name, plot in drawn.items():
        table = analysis.tables.get(name)
        figure = plot(table) if table is not None and table.num_rows else None
        if figure is not None:
            yield f"analysis_{name}", figure


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, Sequence):
        return [_shown(item) for item in value[:WORDS_SHOWN]]
    return value
