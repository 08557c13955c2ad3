"""Stage 2, one source at a time: captions, their cost, and a comparison of two ways to caption."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.captioning import prompts, second_questions
from wavcaps_assets.captioning.comparison import Variant, compare_variants
from wavcaps_assets.captioning.engine import Provider, caption_clips
from wavcaps_assets.captioning.presets import choose_settings, named, or_floor, or_given, or_prompt
from wavcaps_assets.captioning.settings import CaptioningChoice, Method
from wavcaps_assets.defs.checks import table_checks, upstream_of
from wavcaps_assets.defs.code_versions import Scope, scoped
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.partitions import source_partitions
from wavcaps_assets.defs.pauses import PageProgress, unless_paused
from wavcaps_assets.defs.pools import LANGUAGE_MODEL
from wavcaps_assets.defs.resources import LanguageModelResource, StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.llm.costs import cost_by, costs
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.session import Session
from wavcaps_assets.rules import table as table_of_rules
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.plots import as_markdown, stacked_bars
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import CAPTION_COMPARISON, LLM_CAPTIONS, LLM_COSTS
from wavcaps_assets.tables.stage import Stage


class CaptioningConfig(dg.Config, CaptioningChoice):
    """How a source is captioned. Stage 3 uses the same settings for second questions."""

    provider: str = Field(
        "online",
        description="`online`, or `batch`: OpenAI's Batch API, half the price, within a day; "
        "stage 3 always asks its second questions online",
    )


class VariantConfig(dg.Config, CaptioningChoice):
    """A way to caption: the settings of `llm_captions`, and a model."""

    model: str = Field(default="", description="the model's name; empty: WAVCAPS_LLM__MODEL")
    family: str | None = Field(
        default=None,
        description="the model's family (llm/families.toml), empty for none; unset: WAVCAPS_LLM__FAMILY",
    )


class ComparisonConfig(dg.Config):
    """Two ways to caption the same clips: two prompts, two models, or a model and the floor."""

    clips: int = Field(100, ge=1, description="how many clips, spread evenly over the source")
    first: VariantConfig = Field(VariantConfig(), description="settings to override; empty: the defaults")
    second: VariantConfig = Field(
        VariantConfig(), description="settings to override; empty: no model, but rules or the template"
    )


# In the package, and in the user's folder.
SECOND_PROMPTS = (
    f"wavcaps_assets.captioning/prompts/{second_questions.FOLDER}",
    f"{prompts.__name__}._own_files/{second_questions.FOLDER}",
)


def scope_of_answers(embedded_model: bool) -> Scope:
    """What stage 2 uses of the rules and prompts: the rules for answers, and no second questions."""
    enabled = choose_settings("", embedded_model, CaptioningChoice(method=Method.RULES)).rules.enabled
    return Scope(
        without=(f"{table_of_rules.__name__}.RULES", *SECOND_PROMPTS),
        functions=[table_of_rules.RULES[name].find for name in enabled],
    )


def captioning_assets(sources: Sequence[Source], embedded_model: bool) -> Sequence[dg.AssetsDefinition]:
    """Stage 2 and what is about it.

    Args:
        sources: of the clips.
        embedded_model: whether the model is the demo's small one.
    """
    by_source = source_partitions(sources)
    # A list: the code of the sources does not count for the version of this asset.
    listed = list(sources)

    @dg.asset(
        partitions_def=by_source,
        group_name="captions",
        kinds={"openai", "parquet"},
        owners=OWNERS,
        pool=LANGUAGE_MODEL,
        description="Stage 2: a language model captions each description (section III.B, Table I).",
        metadata=schema_metadata(LLM_CAPTIONS),
        # A run with a used-up budget, or with a batch in progress, has no table yet.
        output_required=False,
    )
    @scoped(scope_of_answers(embedded_model))
    def llm_captions(
        context: dg.AssetExecutionContext,
        config: CaptioningConfig,
        filtered_clips: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        source, files = context.partition_key, store.tables().store
        origin = next(one for one in listed if one.name == source)
        choice = or_prompt(or_given(config, origin.as_given), Settings().prompt)
        settings = choose_settings(source, language_model.embedded, choice)
        given = origin.given_captions() if settings.method is Method.GIVEN else None
        provider = named(Provider, config.provider, "provider")
        progress = PageProgress(context)

        def make() -> Stage:
            with (
                logged_to(context),
                progress_bar(f"captions of {source}", filtered_clips.num_rows, "texts") as progress.bar,
                language_model.serving(settings.method is Method.MODEL) as llm,
                Session(
                    llm,
                    files,
                    limits=settings.limits,
                    label=source,
                    run=context.run_id,
                    progress=progress,
                ) as session,
            ):
                captioned = caption_clips(filtered_clips, source, settings, session, provider, given)
            chosen = settings.model_dump(mode="json")
            context.add_output_metadata({"settings": dg.MetadataValue.json(chosen)})
            return replace(captioned.stage, settings=settings.stored)

        yield from unless_paused(context, make, [progress])

    @dg.asset(
        ins={"filtered_clips": dg.AssetIn("filtered_clips")},
        partitions_def=by_source,
        group_name="captions",
        kinds={"openai", "parquet"},
        owners=OWNERS,
        pool=LANGUAGE_MODEL,
        description="Two models, prompts or methods on the same clips: how similar the captions are, and "
        "what they cost. Run it by hand; it is in no job.",
        metadata=schema_metadata(CAPTION_COMPARISON),
        output_required=False,
    )
    @scoped(scope_of_answers(embedded_model))
    def caption_comparison(
        context: dg.AssetExecutionContext,
        config: ComparisonConfig,
        filtered_clips: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        source, files = context.partition_key, store.tables().store
        names, origin = ("first", "second"), next(one for one in listed if one.name == source)
        pages = [PageProgress(context, f"{name}: ") for name in names]
        variants = []
        with language_model.serving() as llm:
            for choice, page in zip((config.first, or_floor(source, config.second)), pages, strict=True):
                chosen = or_prompt(choice, Settings().prompt)
                settings = choose_settings(source, language_model.embedded, chosen)
                session = Session(
                    llm.of_model(choice.model, choice.family),
                    files,
                    limits=settings.limits,
                    label=source,
                    run=context.run_id,
                    progress=page,
                )
                given = origin.given_captions() if settings.method is Method.GIVEN else None
                variants.append(Variant(settings, session, given))

            def make() -> pa.Table:
                with logged_to(context):
                    result = compare_variants(
                        filtered_clips, source, (variants[0], variants[1]), config.clips
                    )
                # The version of a prompt does not contain its name.
                chosen = {
                    f"{name}: settings": dg.MetadataValue.json(variant.settings.model_dump(mode="json"))
                    for name, variant in zip(names, variants, strict=True)
                }
                context.add_output_metadata(
                    {"comparison": dg.MetadataValue.md(result.as_markdown()), **chosen}
                )
                return result.table

            yield from unless_paused(context, make, pages)

    @dg.asset(
        # Both send requests to the model.
        deps=[
            dg.AssetDep(stage, partition_mapping=dg.AllPartitionMapping())
            for stage in ("llm_captions", "captions")
        ],
        group_name="captions",
        kinds={"parquet"},
        owners=OWNERS,
        description="The cost of the models' answers by source, model, prompt version and month.",
        metadata=schema_metadata(LLM_COSTS),
    )
    def llm_costs(
        context: dg.AssetExecutionContext, language_model: LanguageModelResource, store: StoreResource
    ) -> pa.Table:
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
        assets=captioning_assets(location.sources, location.settings.embedded_model),
        asset_checks=captioning_checks(location.sources),
    )
