"""The resources and the executor of this code location."""

import dagster as dg

from wavcaps_assets.defs.wiring import resources
from wavcaps_training.defs.common import Location
from wavcaps_training.executor.executor import cuda_executor


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(resources=resources(location.settings), executor=cuda_executor)
