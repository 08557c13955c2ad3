"""A comparison of data sets, for the paper's Table IV: the paper's figures and those of this run."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.analysis.paper_figures import DATA_SETS, WHOLE_SET
from wavcaps_assets.show.text import shown
from wavcaps_assets.tables import analysis

THIS_RUN = "this run's set"


def compare_data_sets(statistics: pa.Table, models: str) -> pa.Table:
    """`tables.analysis.DATA_SETS`.

    Args:
        statistics: `tables.analysis.SET_STATISTICS` of this run.
        models: the models that wrote this run's captions.
    """
    own = next(
        (
            row
            for row in statistics.to_pylist()
            if (row["source"], row["stage"]) == (WHOLE_SET, "after") and row["clips"]
        ),
        None,
    )
    rows = [{**asdict(data_set), "from_paper": True} for data_set in DATA_SETS]
    if own is not None:
        rows.append(
            {
                "data_set": THIS_RUN,
                "clips": own["clips"],
                "approximate": False,
                "hours": own["hours"],
                "mean_words": own["mean_words"],
                "captions_by": models,
                "from_paper": False,
                "provenance": "counted and measured in this run",
            }
        )
    return analysis.DATA_SETS.from_rows(rows)


def authors_of(wavcaps: pa.Table) -> list[str]:
    """The models that wrote the captions, or `template`."""
    return sorted({shown(model) for model in pc.unique(wavcaps.column("model")).to_pylist()})
