"""The report: one page from all tables."""

from collections.abc import Sequence

import dagster as dg

from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.sources.base import Source
from wavcaps_training.defs.checkpoints import OWNERS
from wavcaps_training.experiments import Experiment


def report_asset(experiment: Experiment, sources: Sequence[Source]) -> dg.AssetsDefinition:
    @dg.asset(
        deps=[
            "wavcaps",
            experiment.training_manifest,
            ["checkpoint", experiment.model, experiment.setting],
            ["scores", "retrieval"],
            "paper_comparison",
        ],
        group_name="scores",
        kinds={"html"},
        owners=OWNERS,
        description="One self-contained page: the funnel, captions, distributions, the learning curve, "
        "the scores, times and sizes.",
    )
    def report(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
        ...

    return report
