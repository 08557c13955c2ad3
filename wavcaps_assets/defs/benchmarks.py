"""The benchmarks that models are scored on, one asset each, and what the set shares with them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.benchmark_sets.benchmarks import known_benchmarks
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark, missing_audio
from wavcaps_assets.benchmark_sets.downloads import download_published
from wavcaps_assets.benchmark_sets.durations import with_durations
from wavcaps_assets.benchmark_sets.overlap_report import missed_by_lists
from wavcaps_assets.benchmark_sets.shared_clips import COLUMNS, shared_clips
from wavcaps_assets.checks.benchmarks import check_known_ids, check_official_size, check_splits
from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.defs.checks import Check, table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.resources import NetworkResource, StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.show.previews import counts, preview, tally
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.tables import BENCHMARK_CLIPS, OVERLAPS
from wavcaps_assets.tables.asset_tables import WHOLE

GROUP = "benchmarks"
# The table has all of them.
SHOWN_MISSING = 50


class BenchmarkConfig(dg.Config):
    """What is done before the lists are read."""

    download: bool = Field(
        default=False,
        description="download the files that are published with a checksum, where they are not there: the "
        "lists of Clotho and FSD50K, and UrbanSound8K with its audio (6 GB). Of the others, put them there",
    )


def benchmark_key(benchmark: Benchmark) -> list[str]:
    return ["benchmark", benchmark.name]


def benchmark_asset(benchmark: Benchmark) -> dg.AssetsDefinition:
    @dg.asset(
        key=benchmark_key(benchmark),
        group_name=GROUP,
        kinds={"csv", "parquet"},
        owners=OWNERS,
        description=f"The clips of {benchmark.title}, by its official lists. Put {benchmark.layout} into the "
        f"store's folder {benchmark.folder}. No job materializes it; do it by hand.",
        metadata={**schema_metadata(BENCHMARK_CLIPS), "source": dg.MetadataValue.url(benchmark.source)},
    )
    def clips(
        context: dg.AssetExecutionContext,
        config: BenchmarkConfig,
        store: StoreResource,
        network: NetworkResource,
    ) -> pa.Table:
        opened = store.tables().store
        if config.download and not benchmark.published:
            context.log.warning(
                f"No file of {benchmark.title} is published with a checksum, so none is downloaded: put "
                f"{benchmark.layout} into {opened.describe(benchmark.folder)} ({benchmark.source})."
            )
        if config.download:
            with network.client() as client, logged_to(context):
                scratch = network.origin(client).partial
                download_published(benchmark.published, opened, benchmark.folder, client, scratch)
        listed = benchmark.read(opened)
        with logged_to(context), progress_bar(benchmark.title, len(listed.clips)) as bar:
            table, unreadable = with_durations(opened, listed.clips, bar)
        missing = missing_audio(table)
        files = {
            "clips without audio here": len(missing),
            "audio files that cannot be read": len(unreadable),
        }
        for note in listed.notes:
            context.log.warning(note)
        notes = "\n".join(f"- {note}" for note in listed.notes)
        context.add_output_metadata(
            {
                "version of the lists": table.column("version")[0].as_py() if len(table) else "",
                "clips by split": dg.MetadataValue.md(counts(table, "split")),
                "what is not there": dg.MetadataValue.md(tally(files, "files")),
                "what is not known": dg.MetadataValue.md(notes or "–"),
                "clips without audio": dg.MetadataValue.int(len(missing)),
                "clips without audio, the first": dg.MetadataValue.md(
                    preview(missing, ["clip_id", "split", "file"], rows=SHOWN_MISSING)
                ),
                "unreadable audio files": dg.MetadataValue.md(
                    preview(pa.table({"audio_path": unreadable[:SHOWN_MISSING]}), rows=SHOWN_MISSING)
                ),
            }
        )
        return table

    return clips


def overlaps_asset(benchmark: Benchmark, ids_of: Mapping[str, str]) -> dg.AssetsDefinition:
    """What the set shares with a benchmark.

    Args:
        ids_of: by source, the source whose ids its clips have, for sources that were imported.
    """

    @dg.asset(
        key=["overlaps", benchmark.name],
        ins={"benchmark_clips": dg.AssetIn(key=benchmark_key(benchmark))},
        deps=["wavcaps"],
        group_name=GROUP,
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description=f"The clips of the set that are, or may be, in {benchmark.title}: by released lists, ids "
        "and texts. No job materializes it; do it by hand.",
        metadata=schema_metadata(OVERLAPS),
    )
    def overlaps(
        context: dg.AssetExecutionContext, benchmark_clips: pa.Table, store: StoreResource
    ) -> pa.Table:
        tables = store.tables()
        clips = tables.read(["wavcaps"], [WHOLE], COLUMNS)
        shared = shared_clips(clips, benchmark_clips, benchmark.name, tables.store, ids_of)
        found = shared.overlaps.column("clip_id").unique()
        context.add_output_metadata(
            {
                "report": dg.MetadataValue.md(shared.report),
                "clips found": dg.MetadataValue.int(len(found)),
                "on no released list": dg.MetadataValue.int(missed_by_lists(shared.overlaps)),
            }
        )
        return shared.overlaps

    return overlaps


def benchmark_checks(benchmark: Benchmark) -> dg.AssetChecksDefinition:
    key = benchmark_key(benchmark)

    def of_table(check: Callable[[pa.Table], CheckOutcome]) -> Check:
        return lambda tables, _: check(tables.read(key, [WHOLE]))

    return table_checks(
        key,
        None,
        splits=(
            "Every clip is in a split, and its fold counts from 1.",
            of_table(check_splits),
        ),
        official_size=(
            "The lists have as many clips as the official ones.",
            of_table(partial(check_official_size, official=benchmark.official_clips)),
        ),
        known_ids=(
            "The FreeSound sound or the YouTube video of every clip is known.",
            of_table(check_known_ids),
        ),
        advisory=("official_size", "known_ids"),
    )


def definitions(location: Location) -> dg.Definitions:
    benchmarks: Sequence[Benchmark] = known_benchmarks(demo=not location.live)
    ids_of = {source.name: source.ids_of for source in location.sources if source.ids_of is not None}
    return dg.Definitions(
        assets=[
            *(benchmark_asset(benchmark) for benchmark in benchmarks),
            *(overlaps_asset(benchmark, ids_of) for benchmark in benchmarks),
        ],
        asset_checks=[
            *(benchmark_checks(benchmark) for benchmark in benchmarks),
            *(table_checks(["overlaps", one.name], None, unique=False) for one in benchmarks),
        ],
    )
