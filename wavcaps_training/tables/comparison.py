"""The table of the paper's figures next to ours."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING

PAPER_COMPARISON_KEY = ("paper_comparison",)


def _since_2(name: str, type_: pa.DataType, description: str, derived_from: tuple[str, ...]) -> Column:
    return Column(name, type_, description, nullable=True, derived_from=derived_from, added_in=2)


PAPER_COMPARISON = TableSchema(
    "paper_comparison",
    "The figures of the paper's Tables II to X next to this store's.",
    (
        Column("table", STRING, "the paper's table, such as `Table III`", derived_from=("source",)),
        Column("row", STRING, "the row of that table", derived_from=("source", "model")),
        Column("column", STRING, "the column of that table", derived_from=("metric",)),
        Column("paper", pa.float64(), "the paper's figure", nullable=True, derived_from=("metric",)),
        Column(
            "measured",
            pa.float64(),
            "this store's figure",
            nullable=True,
            derived_from=("value", "caption", "duration_s"),
        ),
        Column("unit", STRING, "the figures' unit", derived_from=("metric",)),
        Column("comparable", pa.bool_(), "whether the two figures can be compared", derived_from=("metric",)),
        Column("note", STRING, "why, or why not", derived_from=("metric",)),
        _since_2(
            "status",
            STRING,
            "`compared`; `not comparable`: measured, but not the paper's experiment, benchmark or protocol; "
            "`not measured`: the score is missing in its table; `not run`; `of others`: a system that the "
            "paper quotes; `no figure`: the paper has none",
            ("metric",),
        ),
        _since_2("difference", pa.float64(), "measured less paper, if they can be compared", ("value",)),
        _since_2("low", pa.float64(), "lower end of the 95 % interval of `measured`", ("low",)),
        _since_2("high", pa.float64(), "upper end of that interval", ("high",)),
        _since_2("scores", STRING, "the asset that has the score, or would have it", ("benchmark",)),
        _since_2(
            "needs",
            STRING,
            "for what was not run: the assets to materialize, in their order",
            ("model", "setting", "benchmark"),
        ),
        _since_2("checkpoint", STRING, "the checkpoint that was scored", ("checkpoint",)),
        _since_2("weights_sha256", STRING, "a hash of its weights", ("weights_sha256",)),
        _since_2(
            "stale",
            pa.bool_(),
            "whether that checkpoint was trained again since it was scored, or the benchmark's lists changed",
            ("weights_sha256", "weights_path", "listed_sha256"),
        ),
        _since_2("protocol_name", STRING, "the name of the protocol of `measured`", ("protocol_name",)),
        _since_2("clips", pa.int32(), "clips that were scored", ("clips",)),
        _since_2("official_clips", pa.int32(), "clips that the benchmark has to score", ("official_clips",)),
        _since_2(
            "trained_on_benchmark",
            pa.bool_(),
            "whether the checkpoint was trained on the benchmark's train split",
            ("trained_on_benchmark",),
        ),
        _since_2("paper_text", STRING, "of Table II: the paper's text", ("text",)),
        _since_2("measured_text", STRING, "of Table II: a text of this store", ("text", "caption")),
    ),
    key=("table", "row", "column"),
)
