"""The code location `wavcaps_training`: checkpoints, scores, the comparison with the paper, the report.

Torch is imported by the steps that need it, and not when the definitions load.
"""

import warnings

import dagster as dg

import wavcaps_training.defs
from wavcaps_assets.defs.code_versions import with_code_versions
from wavcaps_assets.defs.collector import objects_that_stay
from wavcaps_assets.defs.loading import load_folder
from wavcaps_assets.environment import require_known_variables
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources import all_sources
from wavcaps_training.defs.common import Location
from wavcaps_training.paper.experiments import experiments_for, scored_experiment
from wavcaps_training.paper.released import RELEASED_MODELS
from wavcaps_training.settings.gpus import GpuSettings

# Dagster calls custom executors a preview; the tests run this one.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

LOCATION = "wavcaps_training"


def build(settings: Settings) -> dg.Definitions:
    """All definitions, for given settings."""
    location = Location(
        settings=settings,
        gpus=GpuSettings(),
        sources=all_sources(settings),
        experiments=experiments_for(settings.sources),
        scored=scored_experiment(settings.sources),
        released=RELEASED_MODELS if settings.sources is Sources.LIVE else (),
    )
    return with_code_versions(load_folder(wavcaps_training.defs, location), settings, LOCATION)


@dg.definitions
def defs() -> dg.Definitions:
    with objects_that_stay():
        require_known_variables()
        return build(Settings())
