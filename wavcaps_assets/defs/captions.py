"""Stage 3, a source at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.partitions import source_partitions
from wavcaps_assets.defs.pauses import ShownAccount, unless_paused
from wavcaps_assets.defs.resources import LanguageModelResource, StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.rules.settings import RuleChoice
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import CAPTIONS
from wavcaps_assets.tables.stage import Stage


class RuleConfig(dg.Config, RuleChoice):
    """Which rules a published caption must pass, and how often the model is asked about it again."""


def caption_assets(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    by_source = source_partitions(sources)

    @dg.asset(
        partitions_def=by_source,
        group_name="captions",
        kinds={"spacy", "openai", "parquet"},
        owners=OWNERS,
        pool="language_model",
        description="Stage 3: captions that pass the rules, repaired where a rule can, or asked about again "
        "(sections III.B and IV.E).",
        metadata=schema_metadata(CAPTIONS),
        # A run whose budget is used up has no table yet.
        output_required=False,
    )
    def captions(
        context: dg.AssetExecutionContext,
        config: RuleConfig,
        llm_captions: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        from wavcaps_assets.captioning import rule_counts
        from wavcaps_assets.captioning.presets import captioned_with, choose_settings
        from wavcaps_assets.captioning.refine_source import choose_rules, postprocess_source
        from wavcaps_assets.show.plots import as_markdown, histogram

        source, embedded = context.partition_key, language_model.embedded
        account = ShownAccount(context)

        def make() -> Stage:
            tables = store.tables()
            captioning = captioned_with(tables, source) or choose_settings(source, embedded)
            rules = choose_rules(config, embedded)
            refined = postprocess_source(
                llm_captions,
                source,
                rules,
                captioning,
                language_model.settings(),
                tables.store,
                context.log.info,
                account,
                context.run_id,
            )
            outcome = refined.outcome
            words = [len(caption.split()) for caption in outcome.stage.kept.column("caption").to_pylist()]
            plot = as_markdown(histogram(words, "words", "captions"))
            context.add_output_metadata(
                {
                    "captions asked about again": outcome.asked_again,
                    "rules": dg.MetadataValue.json(rules.model_dump(mode="json")),
                    "what each rule did": dg.MetadataValue.md(rule_counts.as_markdown(outcome.by_rule)),
                    "caption lengths": dg.MetadataValue.md(plot),
                }
            )
            return outcome.stage

        yield from unless_paused(context, make, [account])

    return [captions]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=caption_assets(location.sources))
