"""Assets of the other code location whose tables the steps of this one read."""

import dagster as dg

from wavcaps_assets.defs.common import ANALYSIS
from wavcaps_assets.tables.analysis import SET_STATISTICS
from wavcaps_training.defs.common import Location


def definitions(location: Location) -> dg.Definitions:
    manifests = {experiment.training_manifest for experiment in location.experiments}
    keys = sorted({("wavcaps",), (ANALYSIS, SET_STATISTICS.name), *manifests})
    return dg.Definitions(assets=[dg.AssetSpec(list(key)) for key in keys])
