"""The three stages and the manifest, a source at a time; then the set as a whole."""

from collections.abc import Sequence

import dagster as dg

from wavcaps_assets import schemas
from wavcaps_assets.defs.crawl import ONE_PARTITION_A_RUN, OWNERS
from wavcaps_assets.defs.partitions import deps_on, source_partitions
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.filtering import FilterSettings
from wavcaps_assets.sources.base import Source
from wavcaps_assets.stages import Stage


class FilterConfig(dg.Config, FilterSettings):
    """The thresholds of stage 1."""


def pipeline_assets(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    by_source = source_partitions(sources)

    @dg.asset(
        deps=deps_on(sources, "raw_clips", "audio"),
        partitions_def=by_source,
        backfill_policy=ONE_PARTITION_A_RUN,
        group_name="captions",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description="Stage 1: clips that are long enough and described (section III.B, Pre-Filtering).",
        metadata=schema_metadata(schemas.FILTERED_CLIPS),
    )
    def filtered_clips(
        context: dg.AssetExecutionContext, config: FilterConfig, store: StoreResource
    ) -> Stage:
        from wavcaps_assets.filtering import filter_clips

        source = context.partition_key
        tables = store.tables()
        return filter_clips(tables.read([source, "raw_clips"]), tables.read_stage([source, "audio"]), config)

    @dg.asset(
        partitions_def=by_source,
        backfill_policy=ONE_PARTITION_A_RUN,
        group_name="captions",
        kinds={"openai", "parquet"},
        owners=OWNERS,
        pool="language_model",
        description="Stage 2: a caption of each description by the language model (section III.B, Table I).",
        metadata=schema_metadata(schemas.LLM_CAPTIONS),
    )
    def llm_captions(
        context: dg.AssetExecutionContext,
        config: CaptioningConfig,
        filtered_clips: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> Stage:
        ...

    @dg.asset(
        partitions_def=by_source,
        backfill_policy=ONE_PARTITION_A_RUN,
        group_name="captions",
        kinds={"spacy", "parquet"},
        owners=OWNERS,
        description="Stage 3: captions that pass the rules, repaired where a rule can (section III.B).",
        metadata=schema_metadata(schemas.CAPTIONS),
    )
    def captions(context: dg.AssetExecutionContext, config: RuleConfig, llm_captions: pa.Table) -> Stage:
        ...

    @dg.asset(
        deps=deps_on(sources, "raw_clips", "audio"),
        partitions_def=by_source,
        backfill_policy=ONE_PARTITION_A_RUN,
        group_name="publish",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description="What is published of a source: each clip, its caption, its audio, whom to credit.",
        metadata=schema_metadata(schemas.MANIFEST),
    )
    def manifest(
        context: dg.AssetExecutionContext, captions: pa.Table, llm_captions: pa.Table, store: StoreResource
    ) -> Stage:
        from wavcaps_assets.manifests import make_manifest

        source, tables = context.partition_key, store.tables()
        raw, audio = tables.read([source, "raw_clips"]), tables.read([source, "audio"])
        return make_manifest(captions, llm_captions, raw, audio)

    @dg.asset(
        ins={"manifest": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
        group_name="publish",
        kinds={"parquet"},
        owners=OWNERS,
        description="The set: the manifests of all sources.",
        metadata=schema_metadata(schemas.MANIFEST),
    )
    def wavcaps(context: dg.AssetExecutionContext, manifest: pa.Table) -> pa.Table:
        from wavcaps_assets.plots import as_markdown, histograms
        from wavcaps_assets.previews import counts

        lengths = {
            source: [len(caption.split()) for caption in caption_list]
            for source, caption_list in captions_by_source(manifest).items()
        }
        plot = histograms(lengths, "words in a caption", "clips")
        context.add_output_metadata(
            {
                "clips by source": dg.MetadataValue.md(counts(manifest, "source")),
                "caption lengths": dg.MetadataValue.md(as_markdown(plot)),
            }
        )
        return manifest

    return [filtered_clips, llm_captions, captions, manifest, wavcaps]
