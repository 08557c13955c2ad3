"""Stage 3, one source at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from wavcaps_assets.captioning import rule_counts
from wavcaps_assets.captioning.presets import captioned_with, choose_rules, choose_settings, rules_of_given
from wavcaps_assets.captioning.refining import refine_source
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.partitions import source_partitions
from wavcaps_assets.defs.pauses import PageProgress, unless_paused
from wavcaps_assets.defs.pools import LANGUAGE_MODEL
from wavcaps_assets.defs.resources import LanguageModelResource, StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.llm.session import Session
from wavcaps_assets.rules.settings import RuleChoice
from wavcaps_assets.show.plots import as_markdown, histogram
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import CAPTIONS
from wavcaps_assets.tables.stage import Stage


class RuleConfig(dg.Config, RuleChoice):
    """The rules for published captions, and how often the model is asked again."""


def caption_assets(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    by_source = source_partitions(sources)

    @dg.asset(
        partitions_def=by_source,
        group_name="captions",
        kinds={"spacy", "openai", "parquet"},
        owners=OWNERS,
        pool=LANGUAGE_MODEL,
        description="Stage 3: captions that pass the rules. Faults are repaired by a rule, or the model is "
        "asked again (sections III.B and IV.E).",
        metadata=schema_metadata(CAPTIONS),
        # A run with a used-up budget has no table yet.
        output_required=False,
    )
    def captions(
        context: dg.AssetExecutionContext,
        config: RuleConfig,
        llm_captions: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        source, embedded = context.partition_key, language_model.embedded
        progress = PageProgress(context)

        def make() -> Stage:
            tables = store.tables()
            captioning = captioned_with(tables, source) or choose_settings(source, embedded)
            rules = choose_rules(rules_of_given(config, captioning), embedded, captioning.temporal)
            with (
                logged_to(context),
                language_model.serving(rules.second_questions > 0) as llm,
                Session(
                    llm,
                    tables.store,
                    limits=captioning.limits,
                    label=source,
                    run=context.run_id,
                    progress=progress,
                ) as session,
            ):
                outcome = refine_source(llm_captions, source, rules, captioning, session)
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

        yield from unless_paused(context, make, [progress])

    return [captions]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=caption_assets(location.sources))
