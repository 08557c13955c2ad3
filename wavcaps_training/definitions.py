"""The code location `wavcaps_training`: checkpoints, scores, the comparison with the paper, the report.

Torch is imported by the steps that need it, and not when the definitions load.
"""

import warnings
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import dagster as dg

from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_training import defs as package
from wavcaps_training.defs.common import Location
from wavcaps_training.executor.executor import cuda_executor
from wavcaps_training.paper.experiments import experiments_for, scored_experiment
from wavcaps_training.settings.gpus import GpuSettings

# Dagster calls custom executors a preview; the tests run this one.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build(settings: Settings) -> dg.Definitions:
    """All definitions, for given settings."""
    location = Location(
        settings=settings,
        gpus=GpuSettings(),
        sources=all_sources(settings),
        experiments=experiments_for(settings.sources),
        scored=scored_experiment(settings.sources),
    )
    shared = dg.Definitions(resources=resources(settings), executor=cuda_executor)
    return dg.Definitions.merge(shared, *parts(location))


def parts(location: Location) -> Iterator[dg.Definitions]:
    """What each module of `defs` adds. A new module needs no entry anywhere."""
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        definitions = getattr(import_module(module.name), "definitions", None)
        if definitions is not None:
            yield definitions(location)


@dg.definitions
def defs() -> dg.Definitions:
    return build(Settings())
