"""The jobs of this code location."""

import dagster as dg

from wavcaps_training.defs.common import Location
from wavcaps_training.tables import PAPER_COMPARISON_KEY, RETRIEVAL_SCORES_KEY


def definitions(location: Location) -> dg.Definitions:
    trained = [location.scored.key, RETRIEVAL_SCORES_KEY, PAPER_COMPARISON_KEY]
    return dg.Definitions(
        jobs=[
            dg.define_asset_job(
                "train_and_score",
                selection=dg.AssetSelection.assets(*(list(key) for key in trained)),
                description="Trains the model, scores it, and compares the scores with the paper's.",
            ),
            dg.define_asset_job(
                "write_report",
                selection=dg.AssetSelection.assets("report"),
                executor_def=dg.in_process_executor,
                description="Writes the report from the tables in the store.",
            ),
        ]
    )
