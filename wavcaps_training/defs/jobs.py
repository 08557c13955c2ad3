"""The jobs of this code location."""

import dagster as dg

from wavcaps_training.defs.common import Location
from wavcaps_training.tables import PAPER_COMPARISON_KEY, RETRIEVAL_SCORES_KEY, WITHDRAWN_CLIPS_KEY


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
                selection=dg.AssetSelection.assets("report", list(WITHDRAWN_CLIPS_KEY)),
                executor_def=dg.in_process_executor,
                description="Writes the report from the tables in the store, and the table of clips that "
                "checkpoints were trained on and that were withdrawn since.",
            ),
        ]
    )
