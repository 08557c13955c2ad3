"""The jobs of this code location."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from wavcaps_training.defs.common import Location
from wavcaps_training.paper.models import RETRIEVAL, Stage
from wavcaps_training.tables import (
    PAPER_COMPARISON_KEY,
    RETRIEVAL_SCORES_KEY,
    SEED_SCORES_KEY,
    WITHDRAWN_CLIPS_KEY,
    WORTH_KEY,
)


def _jobs_of_others(location: Location) -> list[UnresolvedAssetJobDefinition]:
    """The demo has a second experiment, which is not part of its main job."""
    return [
        dg.define_asset_job(
            f"train_{experiment.model.name}",
            selection=dg.AssetSelection.assets(list(experiment.key), list(experiment.scores_key)),
            description=f"{experiment.description} Then it is scored. The report shows the scores.",
        )
        for experiment in location.experiments
        if experiment.stage is Stage.DEMO
        and experiment.model.task is RETRIEVAL
        and experiment is not location.scored
    ]


def definitions(location: Location) -> dg.Definitions:
    scored = location.scored
    trained = [scored.key, RETRIEVAL_SCORES_KEY, PAPER_COMPARISON_KEY]
    if scored.embeddings_key is not None:
        trained.append(scored.embeddings_key)
    if scored.stage is Stage.DEMO:
        trained.append(SEED_SCORES_KEY)
    train_and_score = dg.define_asset_job(
        "train_and_score",
        selection=dg.AssetSelection.assets(*(list(key) for key in trained)),
        description="Trains the model, scores it, and compares the scores with the paper's.",
    )
    return dg.Definitions(
        schedules=[
            dg.ScheduleDefinition(
                name="train_weekly",
                job=train_and_score,
                cron_schedule="0 3 * * 0",
                execution_timezone="UTC",
                description=f"Trains {scored.name} on the newest training manifest and scores it, each "
                "Sunday at 3:00 UTC, whether the manifest has changed or not. It occupies the training's "
                "devices: for minutes in the demo, for days at the paper's size.",
            )
        ],
        jobs=[
            *_jobs_of_others(location),
            train_and_score,
            dg.define_asset_job(
                "what_is_it_worth",
                selection=dg.AssetSelection.assets(list(WORTH_KEY)),
                description="What a change of the data does to R@k: the same model on two sets, with several "
                "seeds. Without settings: the newest version and the one before it.",
            ),
            dg.define_asset_job(
                "write_report",
                selection=dg.AssetSelection.assets("report", list(WITHDRAWN_CLIPS_KEY)),
                executor_def=dg.in_process_executor,
                description="Writes the report from the tables in the store, and the table of clips that "
                "checkpoints were trained on and that were withdrawn since.",
            ),
        ],
    )
