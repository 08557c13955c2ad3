"""The three stages and the manifest, a source at a time; then the set as a whole."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets import schemas
from wavcaps_assets.checks.captions import QualitySettings, check_caption_rules, check_caption_statistics
from wavcaps_assets.defs.checks import Upstream, table_checks
from wavcaps_assets.defs.crawl import ONE_PARTITION_A_RUN, OWNERS
from wavcaps_assets.defs.partitions import deps_on, source_partitions
from wavcaps_assets.defs.pauses import paused
from wavcaps_assets.defs.resources import LanguageModelResource, StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.filtering import FilterSettings
from wavcaps_assets.sources.base import Source
from wavcaps_assets.stages import Stage


class FilterConfig(dg.Config, FilterSettings):
    """The thresholds of stage 1."""


class CaptioningConfig(dg.Config):
    """How a source is captioned."""

    preset: str = Field(
        "", description="`paper`, or `small` for a small model; empty: `small` for the embedded model only"
    )
    method: str = Field(
        "",
        description="`model`; `template` for AudioSet's events; `rules` for texts; empty: the template for "
        "these events where the model is the embedded one, else the model",
    )
    provider: str = Field(
        "online", description="`online`, or `batch`: OpenAI's Batch API, half the price, within a day"
    )


class ComparisonConfig(dg.Config):
    """Two ways of captioning the same clips. Empty fields are as for `llm_captions`."""

    clips: int = Field(100, ge=1, description="how many clips, evenly drawn from the source")
    first_preset: str = ""
    first_method: str = ""
    first_model: str = Field("", description="the model's name; empty: WAVCAPS_LLM__MODEL")
    second_preset: str = ""
    second_method: str = Field("", description="empty: `rules`, or `template` for AudioSet's events")
    second_model: str = Field("", description="the model's name; empty: WAVCAPS_LLM__MODEL")


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
        # A run whose budget is used up, or whose batch is not done, has no table yet.
        output_required=False,
    )
    def llm_captions(
        context: dg.AssetExecutionContext,
        config: CaptioningConfig,
        filtered_clips: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        from wavcaps_assets.captioning.ledger import ANSWERS, Ledger
        from wavcaps_assets.captioning.presets import choose_settings
        from wavcaps_assets.captioning.run import Provider, caption_source
        from wavcaps_assets.network_errors import Paused
        from wavcaps_assets.progress import progress

        source, files = context.partition_key, store.tables().store
        settings = choose_settings(source, language_model.embedded, config.preset, config.method)
        meter_of = progress(f"captions of {source}", filtered_clips.num_rows)
        try:
            with Ledger(files, ANSWERS) as ledger, meter_of as meter:
                captioned = caption_source(
                    filtered_clips,
                    source,
                    settings,
                    language_model.settings(),
                    files,
                    ledger,
                    Provider(config.provider),
                    lambda done, total: meter.at(done),
                    context.log.info,
                )
        except Paused as pause:
            yield from paused(context, pause)
            return
        context.add_output_metadata(dict(captioned.facts))
        yield dg.Output(captioned.stage)

    @dg.asset(
        ins={"filtered_clips": dg.AssetIn("filtered_clips")},
        partitions_def=by_source,
        backfill_policy=ONE_PARTITION_A_RUN,
        group_name="captions",
        kinds={"openai", "parquet"},
        owners=OWNERS,
        pool="language_model",
        description="Two models, prompts or methods on the same clips: how far they agree, what they cost. "
        "Run it by hand; no job does.",
        metadata=schema_metadata(schemas.CAPTION_COMPARISON),
        output_required=False,
    )
    def caption_comparison(
        context: dg.AssetExecutionContext,
        config: ComparisonConfig,
        filtered_clips: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        from wavcaps_assets.captioning.ledger import ANSWERS, Ledger
        from wavcaps_assets.captioning.presets import choose_settings, method_without_model
        from wavcaps_assets.captioning.run import Way, compare_ways
        from wavcaps_assets.network_errors import Paused

        source, files, llm = context.partition_key, store.tables().store, language_model.settings()
        ways = [
            Way(
                choose_settings(source, language_model.embedded, preset, method),
                llm.model_copy(update={"model": model or llm.model}),
            )
            for preset, method, model in (
                (config.first_preset, config.first_method, config.first_model),
                (
                    config.second_preset,
                    config.second_method or method_without_model(source),
                    config.second_model,
                ),
            )
        ]
        try:
            with Ledger(files, ANSWERS) as ledger:
                result = compare_ways(
                    filtered_clips, source, (ways[0], ways[1]), config.clips, files, ledger, context.log.info
                )
        except Paused as pause:
            yield from paused(context, pause)
            return
        context.add_output_metadata({"comparison": dg.MetadataValue.md(result.as_markdown())})
        yield dg.Output(result.table)

    @dg.asset(
        deps=[dg.AssetDep("llm_captions", partition_mapping=dg.AllPartitionMapping())],
        group_name="captions",
        kinds={"parquet"},
        owners=OWNERS,
        description="What the models' answers have cost, by source, model, prompt version and month.",
        metadata=schema_metadata(schemas.LLM_COSTS),
    )
    def llm_costs(
        context: dg.AssetExecutionContext, language_model: LanguageModelResource, store: StoreResource
    ) -> pa.Table:
        from wavcaps_assets.captioning.costs import cost_by, costs
        from wavcaps_assets.captioning.ledger import ANSWERS, Ledger
        from wavcaps_assets.captioning.prices import load_prices
        from wavcaps_assets.plots import as_markdown, stacked_bars

        with Ledger(store.tables().store, ANSWERS) as ledger:
            table = costs(ledger.records(), load_prices(language_model.settings().prices))
        plot = stacked_bars(cost_by(table, "source", "model"), "cost (USD)")
        context.add_output_metadata(
            {
                "cost (USD)": sum(table.column("cost_usd").to_pylist()),
                "cost by source and model": dg.MetadataValue.md(as_markdown(plot)),
            }
        )
        return table

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

    return [filtered_clips, llm_captions, caption_comparison, llm_costs, captions, manifest, wavcaps]


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
