"""Stage 2, a source at a time: captions, what they cost, and two ways of making them compared."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.captioning.settings import CaptioningChoice
from wavcaps_assets.defs.checks import table_checks, upstream_of
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.partitions import source_partitions
from wavcaps_assets.defs.pauses import ShownAccount, unless_paused
from wavcaps_assets.defs.resources import LanguageModelResource, StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import CAPTION_COMPARISON, LLM_CAPTIONS, LLM_COSTS
from wavcaps_assets.tables.stage import Stage


class CaptioningConfig(dg.Config, CaptioningChoice):
    """How a source is captioned. Stage 3 asks its second questions in the same way."""

    provider: str = Field(
        "online",
        description="`online`, or `batch`: OpenAI's Batch API, half the price, within a day; "
        "stage 3's second questions are asked online in any case",
    )


class WayConfig(dg.Config, CaptioningChoice):
    """A way of captioning: as for `llm_captions`, and by which model."""

    model: str = Field(default="", description="the model's name; empty: WAVCAPS_LLM__MODEL")


class ComparisonConfig(dg.Config):
    """Two ways of captioning the same clips: two prompts, two models, or a model and the floor."""

    clips: int = Field(100, ge=1, description="how many clips, evenly drawn from the source")
    first: WayConfig = Field(WayConfig(), description="the first way; empty: as `llm_captions` unless chosen")
    second: WayConfig = Field(
        WayConfig(), description="the second way; empty: without a model, by rules or template"
    )


def captioning_assets(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    by_source = source_partitions(sources)

    @dg.asset(
        partitions_def=by_source,
        group_name="captions",
        kinds={"openai", "parquet"},
        owners=OWNERS,
        pool="language_model",
        description="Stage 2: a caption of each description by the language model (section III.B, Table I).",
        metadata=schema_metadata(LLM_CAPTIONS),
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
        from wavcaps_assets.captioning.presets import choose_settings, named
        from wavcaps_assets.captioning.run import Provider, caption_source
        from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
        from wavcaps_assets.show.progress import progress_bar

        source, files = context.partition_key, store.tables().store
        settings = choose_settings(source, language_model.embedded, config)
        provider = named(Provider, config.provider, "provider")
        bar_of = progress_bar(f"captions of {source}", filtered_clips.num_rows, "texts")
        account = ShownAccount(context)

        def make() -> Stage:
            with ResponseLedger(files, ANSWERS) as ledger, bar_of as bar:
                captioned = caption_source(
                    filtered_clips,
                    source,
                    settings,
                    language_model.settings(),
                    files,
                    ledger,
                    provider,
                    lambda standing: bar.update(standing.done, standing.total, standing.line),
                    context.log.info,
                    account,
                    context.run_id,
                )
            chosen = settings.model_dump(mode="json")
            context.add_output_metadata({"settings": dg.MetadataValue.json(chosen)})
            return replace(captioned.stage, settings=settings.model_dump_json())

        yield from unless_paused(context, make, [account])

    @dg.asset(
        ins={"filtered_clips": dg.AssetIn("filtered_clips")},
        partitions_def=by_source,
        group_name="captions",
        kinds={"openai", "parquet"},
        owners=OWNERS,
        pool="language_model",
        description="Two models, prompts or methods on the same clips: how far they agree, what they cost. "
        "Run it by hand; no job does.",
        metadata=schema_metadata(CAPTION_COMPARISON),
        output_required=False,
    )
    def caption_comparison(
        context: dg.AssetExecutionContext,
        config: ComparisonConfig,
        filtered_clips: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        from wavcaps_assets.captioning.presets import choose_settings, second_way
        from wavcaps_assets.captioning.run import Way, compare_ways
        from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger

        source, files, llm = context.partition_key, store.tables().store, language_model.settings()
        ways = [
            Way(
                choose_settings(source, language_model.embedded, way),
                llm.model_copy(update={"model": way.model or llm.model}),
            )
            for way in (config.first, second_way(source, config.second))
        ]
        accounts = ShownAccount(context, "first: "), ShownAccount(context, "second: ")

        def make() -> pa.Table:
            with ResponseLedger(files, ANSWERS) as ledger:
                result = compare_ways(
                    filtered_clips,
                    source,
                    (ways[0], ways[1]),
                    config.clips,
                    files,
                    ledger,
                    context.log.info,
                    accounts,
                    context.run_id,
                )
            # A prompt's version does not tell its name.
            chosen = {
                f"{which}: settings": dg.MetadataValue.json(way.settings.model_dump(mode="json"))
                for which, way in zip(("first", "second"), ways, strict=True)
            }
            context.add_output_metadata({"comparison": dg.MetadataValue.md(result.as_markdown()), **chosen})
            return result.table

        yield from unless_paused(context, make, accounts)

    @dg.asset(
        # Both ask the model.
        deps=[
            dg.AssetDep(stage, partition_mapping=dg.AllPartitionMapping())
            for stage in ("llm_captions", "captions")
        ],
        group_name="captions",
        kinds={"parquet"},
        owners=OWNERS,
        description="What the models' answers have cost, by source, model, prompt version and month.",
        metadata=schema_metadata(LLM_COSTS),
    )
    def llm_costs(
        context: dg.AssetExecutionContext, language_model: LanguageModelResource, store: StoreResource
    ) -> pa.Table:
        from wavcaps_assets.llm.costs import cost_by, costs
        from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
        from wavcaps_assets.llm.prices import load_prices
        from wavcaps_assets.show.plots import as_markdown, stacked_bars

        with ResponseLedger(store.tables().store, ANSWERS) as ledger:
            table = costs(ledger.records(), load_prices(language_model.settings().prices))
        context.add_output_metadata({"cost (USD)": sum(table.column("cost_usd").to_pylist())})
        for group, part in (("source", "model"), ("prompt_version", "model"), ("month", "source")):
            plot = as_markdown(stacked_bars(cost_by(table, group, part), "cost (USD)"))
            name = f"cost by {group} and {part}".replace("_", " ")
            context.add_output_metadata({name: dg.MetadataValue.md(plot)})
        return table

    return [llm_captions, caption_comparison, llm_costs]


def captioning_checks(sources: Sequence[Source]) -> Sequence[dg.AssetChecksDefinition]:
    by_source = source_partitions(sources)
    return [table_checks(["llm_captions"], by_source, upstream_of("filtered_clips"))]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        assets=captioning_assets(location.sources), asset_checks=captioning_checks(location.sources)
    )
