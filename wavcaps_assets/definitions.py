"""The code location `wavcaps_assets`: from raw crawls to the training manifest, without torch."""

import warnings

import dagster as dg

from wavcaps_assets.defs.analysis import analysis_assets
from wavcaps_assets.defs.captioning import captioning_assets, captioning_checks
from wavcaps_assets.defs.captions import caption_assets
from wavcaps_assets.defs.crawl import crawl_definitions
from wavcaps_assets.defs.dead_runs import end_dead_runs
from wavcaps_assets.defs.filtering import filtering_assets, filtering_checks
from wavcaps_assets.defs.jobs import jobs
from wavcaps_assets.defs.publishing import publishing_assets, publishing_checks
from wavcaps_assets.defs.quality import caption_checks
from wavcaps_assets.defs.schedules import missing_partitions_schedule
from wavcaps_assets.defs.training_manifests import training_manifest_assets, training_manifest_checks
from wavcaps_assets.defs.training_sets import training_set_assets, training_set_checks
from wavcaps_assets.defs.validation import validation_assets, validation_checks
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources import all_sources

# Partitioned checks and backfill policies work as they are used here (the tests run them).
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build(settings: Settings) -> dg.Definitions:
    """All definitions, for given settings."""
    sources = all_sources(settings)
    # The demo has no AudioCaps and no Clotho, which these are made with.
    live = settings.sources is Sources.LIVE
    crawls = [crawl_definitions(source) for source in sources]
    return dg.Definitions(
        assets=[
            *(asset for crawl in crawls for asset in crawl.assets),
            *filtering_assets(sources),
            *captioning_assets(sources),
            *caption_assets(sources),
            *publishing_assets(sources, settings.quality),
            *training_set_assets(settings),
            *(training_manifest_assets() if live else ()),
            *validation_assets(),
            *analysis_assets(sources),
        ],
        asset_checks=[
            *(check for crawl in crawls for check in crawl.checks),
            *filtering_checks(sources),
            *captioning_checks(sources),
            *caption_checks(sources, settings.quality),
            *publishing_checks(sources),
            *training_set_checks(),
            *(training_manifest_checks() if live else ()),
            *validation_checks(),
        ],
        jobs=jobs(sources),
        sensors=[end_dead_runs],
        schedules=[missing_partitions_schedule(source) for source in sources],
        resources=resources(settings),
        # The steps are concurrent inside; a process for each would cost seconds of imports.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    return build(Settings())
