"""Stage 3, a source at a time, and the checks of what a good caption is."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets import schemas
from wavcaps_assets.checks.captions import QualitySettings, check_caption_rules, check_caption_statistics
from wavcaps_assets.defs.checks import table_checks, upstream_of
from wavcaps_assets.defs.crawl import ONE_PARTITION_A_RUN, OWNERS
from wavcaps_assets.defs.partitions import source_partitions
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.sources.base import Source
from wavcaps_assets.stages import Stage


class RuleConfig(dg.Config):
    """Which rules a published caption must pass."""

    preset: str = Field("paper", description="`paper` (a reconstruction), or the stricter `small`")


def caption_assets(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    by_source = source_partitions(sources)

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

    return [captions]


def caption_checks(sources: Sequence[Source]) -> Sequence[dg.AssetChecksDefinition]:
    by_source = source_partitions(sources)
    quality = QualitySettings()
    captions = upstream_of("captions")
    return [
        table_checks(
            ["captions"],
            by_source,
            upstream_of("llm_captions"),
            caption_rules=(
                "Every caption, judged by itself, is one sentence about a sound: length, entities, digits, "
                "banned words, language.",
                lambda tables, partition: check_caption_rules(captions(tables, partition), quality),
            ),
            caption_statistics=(
                "Enough clips have a caption, and captions have the length of captions (Table III).",
                lambda tables, partition: check_caption_statistics(
                    upstream_of("filtered_clips")(tables, partition),
                    tables.read_stage(["captions"], partition and [partition]),
                    quality,
                ),
            ),
        )
    ]
