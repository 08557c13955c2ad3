"""The table of the paper's figures next to ours."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING

PAPER_COMPARISON_KEY = ("paper_comparison",)

PAPER_COMPARISON = TableSchema(
    "paper_comparison",
    "The paper's figures next to this run's.",
    (
        Column("table", STRING, "the paper's table, such as `Table III`", derived_from=("source",)),
        Column("row", STRING, "the row of that table", derived_from=("source", "model")),
        Column("column", STRING, "the column of that table", derived_from=("metric",)),
        Column("paper", pa.float64(), "the paper's figure", nullable=True, derived_from=("metric",)),
        Column(
            "measured",
            pa.float64(),
            "this run's figure",
            nullable=True,
            derived_from=("value", "caption", "duration_s"),
        ),
        Column("unit", STRING, "the figures' unit", derived_from=("metric",)),
        Column("comparable", pa.bool_(), "whether the two figures can be compared", derived_from=("metric",)),
        Column("note", STRING, "why, or why not", derived_from=("metric",)),
    ),
    key=("table", "row", "column"),
)
