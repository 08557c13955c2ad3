"""The code location `wavcaps_training`: checkpoints, scores, the paper's figures, the report.

Torch is imported by the steps that need it, never when the definitions load.
"""

import warnings

import dagster as dg

from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_training.defs.checkpoints import checkpoint_asset
from wavcaps_training.defs.report import report_asset
from wavcaps_training.defs.scores import score_assets
from wavcaps_training.executor.executor import cuda_executor
from wavcaps_training.paper.experiments import experiments_for

# The executor is a preview in Dagster's eyes; the tests run it.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build(settings: Settings) -> dg.Definitions:
    """All definitions, for given settings."""
    sources = all_sources(settings)
    experiments = experiments_for(settings.sources)
    scored = experiments[0]
    upstream = {("wavcaps",), *(experiment.training_manifest for experiment in experiments)}
    return dg.Definitions(
        assets=[
            *(checkpoint_asset(experiment, settings) for experiment in experiments),
            *score_assets(scored, sources, settings),
            report_asset(scored, sources, settings),
            # Made by the other location; named here because steps of this one read their tables.
            *(dg.AssetSpec(list(key)) for key in sorted(upstream)),
        ],
        jobs=[
            dg.define_asset_job(
                "train_and_score",
                selection=dg.AssetSelection.assets(
                    ["checkpoint", scored.model, scored.setting], ["scores", "retrieval"], "paper_comparison"
                ),
                description="Trains the model, scores it, and sets the paper's figures beside its own.",
            ),
            dg.define_asset_job(
                "write_report",
                selection=dg.AssetSelection.assets("report"),
                executor_def=dg.in_process_executor,
                description="Writes the report anew from the tables that are there.",
            ),
        ],
        resources=resources(settings),
        executor=cuda_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    return build(Settings())
