"""The three stages and the manifest, a source at a time; then the set as a whole."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets import schemas
from wavcaps_assets.checks.captions import QualitySettings, check_caption_rules, check_caption_statistics
from wavcaps_assets.defs.checks import Upstream, table_checks
from wavcaps_assets.defs.crawl import ONE_PARTITION_A_RUN, OWNERS
from wavcaps_assets.defs.partitions import deps_on, source_partitions
from wavcaps_assets.defs.resources import LanguageModelResource, StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.filtering import FilterSettings
from wavcaps_assets.sources.base import Source
from wavcaps_assets.stages import Stage

ANSWERS = "log/answers"


class FilterConfig(dg.Config, FilterSettings):
    """The thresholds of stage 1."""


class CaptioningConfig(dg.Config):
    """How a source is captioned."""

    preset: str = Field(
        "", description="`paper`, or `small` for a small model; empty: `small` for the embedded model only"
    )
    method: str = Field(
        "",
        description="`model`, or `template` for AudioSet's events; empty: the template for these events "
        "where the model is the embedded one",
    )


class RuleConfig(dg.Config):
    """Which rules a published caption must pass."""

    preset: str = Field("paper", description="`paper` (a reconstruction), or the stricter `small`")


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
        from wavcaps_assets.captioning.engine import caption_clips
        from wavcaps_assets.captioning.ledger import Ledger
        from wavcaps_assets.captioning.presets import choose_settings
        from wavcaps_assets.captioning.settings import Method
        from wavcaps_assets.progress import progress

        source = context.partition_key
        settings = choose_settings(source, language_model.embedded, config.preset, config.method)
        model = language_model.chat() if settings.method is Method.MODEL else None
        ledger = Ledger(store.tables().store, ANSWERS)
        with ledger, progress(f"captions of {source}", filtered_clips.num_rows) as meter:
            return caption_clips(
                filtered_clips, source, settings, model, ledger, lambda done, total: meter.at(done)
            )

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
        from wavcaps_assets.plots import as_markdown, histogram
        from wavcaps_assets.postprocessing.rules import RULE_PRESETS
        from wavcaps_assets.postprocessing.stage3 import postprocess

        stage = postprocess(llm_captions, RULE_PRESETS[config.preset])
        words = [len(caption.split()) for caption in stage.kept.column("caption").to_pylist()]
        context.add_output_metadata(
            {"caption lengths": dg.MetadataValue.md(as_markdown(histogram(words, "words", "captions")))}
        )
        return stage

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

        lengths: dict[str, list[int]] = {}
        for row in manifest.select(["source", "caption"]).to_pylist():
            lengths.setdefault(row["source"], []).append(len(row["caption"].split()))
        plot = histograms(lengths, "words in a caption", "clips")
        context.add_output_metadata(
            {
                "clips by source": dg.MetadataValue.md(counts(manifest, "source")),
                "caption lengths": dg.MetadataValue.md(as_markdown(plot)),
            }
        )
        return manifest

    return [filtered_clips, llm_captions, captions, manifest, wavcaps]


def pipeline_checks(sources: Sequence[Source]) -> Sequence[dg.AssetChecksDefinition]:
    by_source = source_partitions(sources)
    quality = QualitySettings()

    def of(asset: str) -> Upstream:
        return lambda tables, partition: tables.read([asset], partition and [partition])

    return [
        table_checks(
            ["filtered_clips"],
            by_source,
            lambda tables, partition: tables.read([partition or "", "raw_clips"]),
        ),
        table_checks(["llm_captions"], by_source, of("filtered_clips")),
        table_checks(
            ["captions"],
            by_source,
            of("llm_captions"),
            caption_rules=(
                "Every caption, judged by itself, is one sentence about a sound: length, entities, digits, "
                "banned words, language.",
                lambda tables, partition: check_caption_rules(of("captions")(tables, partition), quality),
            ),
            caption_statistics=(
                "Enough clips have a caption, and captions have the length of captions (Table III).",
                lambda tables, partition: check_caption_statistics(
                    of("filtered_clips")(tables, partition),
                    tables.read_stage(["captions"], partition and [partition]),
                    quality,
                ),
            ),
        ),
        table_checks(["manifest"], by_source, of("captions")),
        table_checks(["wavcaps"], None, of("manifest")),
    ]
