"""The code location `wavcaps_assets`: from raw crawls to the training manifest, without torch."""

import warnings

import dagster as dg

import wavcaps_assets.defs
from wavcaps_assets.defs.code_versions import with_code_versions
from wavcaps_assets.defs.collector import objects_that_stay
from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.loading import load_folder
from wavcaps_assets.environment import require_known_variables
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources, known_sources

# Partitioned checks and backfill policies work as they are used here (the tests run them).
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

LOCATION = "wavcaps_assets"


def build(settings: Settings) -> dg.Definitions:
    """All definitions, for given settings."""
    sources = all_sources(settings)
    names = {source.name for source in sources}
    others = tuple(source for source in known_sources(settings) if source.name not in names)
    definitions = load_folder(wavcaps_assets.defs, Location(settings, sources, others))
    return with_code_versions(definitions, settings, LOCATION)


@dg.definitions
def defs() -> dg.Definitions:
    with objects_that_stay():
        require_known_variables()
        return build(Settings())
