"""Stage 1, for each source."""

from collections.abc import Sequence

import dagster as dg

from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.partitions import deps_on, source_partitions
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.filtering import FilterSettings, filter_clips
from wavcaps_assets.filtering.funnel import as_plot, as_table, funnel_of, paper_funnels
from wavcaps_assets.filtering.inputs import read_inputs
from wavcaps_assets.show.plots import as_markdown
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import FILTERED_CLIPS
from wavcaps_assets.tables.stage import Stage


class FilterConfig(dg.Config, FilterSettings):
    """The thresholds of stage 1."""


def filtering_assets(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    by_source = source_partitions(sources)
    as_given = {source.name for source in sources if source.as_given}

    @dg.asset(
        deps=deps_on(sources, "raw_clips", "audio"),
        partitions_def=by_source,
        group_name="captions",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description="Stage 1: clips that are long enough and described (section III.B, Pre-Filtering).",
        metadata=schema_metadata(FILTERED_CLIPS),
    )
    def filtered_clips(
        context: dg.AssetExecutionContext, config: FilterConfig, store: StoreResource
    ) -> Stage:
        source = context.partition_key
        settings = config.for_given if source in as_given else config
        stage = filter_clips(*read_inputs(store.tables(), source, settings), settings)
        # The paper's figures are those of its own crawl.
        paper = None if source in as_given else paper_funnels().get(source)
        funnel = funnel_of(stage, settings)
        context.add_output_metadata(
            {
                "funnel": dg.MetadataValue.md(as_table(funnel, paper)),
                "kept and removed": dg.MetadataValue.md(as_markdown(as_plot(funnel, paper))),
            }
        )
        return stage

    return [filtered_clips]


def filtering_checks(sources: Sequence[Source]) -> Sequence[dg.AssetChecksDefinition]:
    by_source = source_partitions(sources)
    return [
        table_checks(
            ["filtered_clips"],
            by_source,
            lambda tables, partition: tables.read([partition or "", "raw_clips"]),
        )
    ]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        assets=filtering_assets(location.sources), asset_checks=filtering_checks(location.sources)
    )
