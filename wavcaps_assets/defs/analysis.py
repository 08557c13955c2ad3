"""Analysis of the set: the paper's Tables II to IV and Figures 2 and 3 for this run, and the card."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from wavcaps_assets.analysis.card import CARD, Findings, write_card
from wavcaps_assets.analysis.data_sets import authors_of, compare_data_sets
from wavcaps_assets.analysis.examples import sample_examples
from wavcaps_assets.analysis.figures import (
    plot_data_sets,
    plot_durations,
    plot_kinds,
    plot_licences,
    plot_readability,
    plot_similarity,
    plot_statistics,
    plot_synthetic,
    plot_uniqueness,
    plot_vocabulary,
    plot_words,
)
from wavcaps_assets.analysis.licences import count_licences
from wavcaps_assets.analysis.measures import grade_raw, measure_texts
from wavcaps_assets.analysis.settings import AnalysisSettings
from wavcaps_assets.analysis.statistics import set_statistics as compute_statistics
from wavcaps_assets.analysis.statistics import with_measured_durations
from wavcaps_assets.analysis.summaries import (
    count_copies,
    count_kinds,
    summarise_durations,
    summarise_readability,
    summarise_similarity,
)
from wavcaps_assets.analysis.synthetic import count_synthetic
from wavcaps_assets.analysis.vocabulary import vocabulary as describe_vocabulary
from wavcaps_assets.analysis.vocabulary import words_that_change
from wavcaps_assets.defs.common import ANALYSIS, OWNERS, Location
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.show.plots import as_markdown
from wavcaps_assets.show.previews import preview
from wavcaps_assets.sources.base import Source
from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.tables import analysis as tables_of
from wavcaps_assets.tables.asset_tables import TableStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class AnalysisConfig(dg.Config, AnalysisSettings):
    """The settings of the analysis."""


def _about(schema: TableSchema) -> dict[str, Any]:
    """The arguments that all assets of this group share."""
    return {
        "key_prefix": ANALYSIS,
        "group_name": ANALYSIS,
        "kinds": {"parquet"},
        "owners": OWNERS,
        "description": schema.description,
        "metadata": schema_metadata(schema),
    }


def _of(name: str) -> dg.AssetIn:
    return dg.AssetIn([ANALYSIS, name])


def _show(context: dg.AssetExecutionContext, table: pa.Table, plot: "Figure | None" = None) -> pa.Table:
    context.add_output_metadata({"table": dg.MetadataValue.md(preview(table, rows=50))})
    if plot is not None:
        context.add_output_metadata({"plot": dg.MetadataValue.md(as_markdown(plot))})
    return table


def analysis_assets(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    return [*_of_texts(sources), *_of_the_set(sources)]


def _of_texts(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    @dg.asset(**_about(tables_of.TEXT_MEASURES))
    def text_measures(wavcaps: pa.Table) -> pa.Table:
        return measure_texts(wavcaps)

    @dg.asset(ins={"measures": _of("text_measures")}, **_about(tables_of.JACCARD))
    def jaccard(context: dg.AssetExecutionContext, measures: pa.Table) -> pa.Table:
        return _show(context, summarise_similarity(measures), plot_similarity(measures))

    @dg.asset(ins={"measures": _of("text_measures")}, **_about(tables_of.READABILITY))
    def readability(context: dg.AssetExecutionContext, measures: pa.Table, store: StoreResource) -> pa.Table:
        table = summarise_readability(grade_raw(_crawled(store, sources)), measures)
        return _show(context, table, plot_readability(table))

    @dg.asset(ins={"measures": _of("text_measures")}, **_about(tables_of.ODD_TEXTS))
    def odd_texts(context: dg.AssetExecutionContext, measures: pa.Table) -> pa.Table:
        table = count_kinds(measures)
        return _show(context, table, plot_kinds(table))

    @dg.asset(ins={"measures": _of("text_measures")}, **_about(tables_of.UNIQUE_CAPTIONS))
    def unique_captions(
        context: dg.AssetExecutionContext, config: AnalysisConfig, measures: pa.Table
    ) -> pa.Table:
        table = count_copies(measures, config.often)
        return _show(context, table, plot_uniqueness(table))

    @dg.asset(**_about(tables_of.WORDS))
    def words(
        context: dg.AssetExecutionContext, config: AnalysisConfig, wavcaps: pa.Table, store: StoreResource
    ) -> pa.Table:
        table = words_that_change(_crawled(store, sources), wavcaps, config)
        return _show(context, table, plot_words(table))

    @dg.asset(**_about(tables_of.VOCABULARY))
    def vocabulary(context: dg.AssetExecutionContext, config: AnalysisConfig, wavcaps: pa.Table) -> pa.Table:
        table = describe_vocabulary(wavcaps, config)
        _show(context, table.drop_columns("growth"), plot_vocabulary(table))
        return table

    @dg.asset(**_about(tables_of.EXAMPLES))
    def examples(context: dg.AssetExecutionContext, config: AnalysisConfig, wavcaps: pa.Table) -> pa.Table:
        return _show(context, sample_examples(wavcaps, config.examples_per_source, config.seed))

    return [
        text_measures,
        jaccard,
        readability,
        odd_texts,
        unique_captions,
        words,
        vocabulary,
        examples,
    ]


def _of_the_set(sources: Sequence[Source]) -> Sequence[dg.AssetsDefinition]:
    @dg.asset(**_about(tables_of.SET_STATISTICS))
    def set_statistics(
        context: dg.AssetExecutionContext, wavcaps: pa.Table, store: StoreResource
    ) -> pa.Table:
        table = compute_statistics(_crawled(store, sources), wavcaps)
        return _show(context, table, plot_statistics(table))

    @dg.asset(**_about(tables_of.DURATIONS))
    def durations(context: dg.AssetExecutionContext, wavcaps: pa.Table) -> pa.Table:
        return _show(context, summarise_durations(wavcaps), plot_durations(wavcaps))

    @dg.asset(**_about(tables_of.LICENCES))
    def licences(context: dg.AssetExecutionContext, wavcaps: pa.Table) -> pa.Table:
        table = count_licences(wavcaps)
        return _show(context, table, plot_licences(table))

    @dg.asset(deps=[[source.name, "raw_clips"] for source in sources], **_about(tables_of.SYNTHETIC_SOUNDS))
    def synthetic_sounds(context: dg.AssetExecutionContext, store: StoreResource) -> pa.Table:
        table = count_synthetic(_dated(store, sources))
        return _show(context, table, plot_synthetic(table))

    @dg.asset(ins={"statistics": _of("set_statistics")}, **_about(tables_of.DATA_SETS))
    def data_sets(context: dg.AssetExecutionContext, statistics: pa.Table, wavcaps: pa.Table) -> pa.Table:
        table = compare_data_sets(statistics, ", ".join(authors_of(wavcaps)))
        return _show(context, table, plot_data_sets(table))

    @dg.asset(
        ins={
            "statistics": _of("set_statistics"),
            "licences": _of("licences"),
            "unique": _of("unique_captions"),
            "jaccard": _of("jaccard"),
            "readability": _of("readability"),
        },
        **_about(tables_of.DATA_SET_CARD) | {"kinds": {"markdown"}},
    )
    def data_set_card(
        context: dg.AssetExecutionContext,
        wavcaps: pa.Table,
        statistics: pa.Table,
        licences: pa.Table,
        unique: pa.Table,
        jaccard: pa.Table,
        readability: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        files = store.tables().store
        findings = Findings(statistics, licences, unique, jaccard, readability)
        table = write_card(files, wavcaps, findings, {source.name: source.title for source in sources})
        context.add_output_metadata(
            {
                "file": dg.MetadataValue.path(files.describe(CARD)),
                "card": dg.MetadataValue.md(files.read_bytes(CARD).decode().split("\n---\n", 1)[1]),
            }
        )
        return table

    return [set_statistics, durations, licences, synthetic_sounds, data_sets, data_set_card]


def _crawled(store: StoreResource, sources: Sequence[Source]) -> dict[str, Iterator[pa.Table]]:
    """Descriptions and durations of each crawled source, a partition at a time."""
    tables = store.tables()
    there = {source.name: tables.partitions([source.name, "raw_clips"]) for source in sources}
    return {name: _raw(tables, name, partitions) for name, partitions in there.items() if partitions}


def _raw(tables: TableStore, source: str, partitions: Sequence[str]) -> Iterator[pa.Table]:
    for partition in partitions:
        raw = tables.read(
            [source, "raw_clips"], [partition], ["clip_id", "description", "claimed_duration_s"]
        )
        measured = [partition] if tables.exists([source, "audio"], partition) else []
        yield with_measured_durations(
            raw, tables.read([source, "audio"], measured, ["clip_id", "duration_s"])
        )


def _dated(store: StoreResource, sources: Sequence[Source]) -> dict[str, Iterator[pa.Table]]:
    """When each source's raw clips were uploaded, and whether they are AI-made, a partition at a time."""
    tables = store.tables()

    def read(key: list[str]) -> Iterator[pa.Table]:
        for partition in tables.partitions(key):
            yield tables.read(key, [partition], ["created", "synthetic"])

    return {source.name: read([source.name, "raw_clips"]) for source in sources}


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=analysis_assets(location.sources))
