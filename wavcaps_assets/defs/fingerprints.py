"""Decontamination by sound: fingerprints of each source's audio and of benchmarks, and their comparison."""

from collections.abc import Iterator, Sequence

import dagster as dg
import pyarrow as pa

from wavcaps_assets.benchmark_sets.benchmarks import known_benchmarks
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark
from wavcaps_assets.benchmark_sets.heard import AUDIO_OVERLAPS, OF_BENCHMARK
from wavcaps_assets.defs.checks import Upstream, table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.fingerprints.extraction import (
    RECIPE,
    StoredClip,
    fingerprint,
)
from wavcaps_assets.fingerprints.matching import MatchSettings
from wavcaps_assets.fingerprints.overlaps import audio_overlaps as compare
from wavcaps_assets.show.previews import counts, preview
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import FINGERPRINTS, OVERLAPS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.stage import Stage

GROUP = "benchmarks"
FINGERPRINTS_NAME = "fingerprints"
SHOWN = ["clip_id", "benchmark_clip_id", "benchmark_split", "score", "offset_s", "key", "verdict"]
SHOWN_ROWS = 30


class MatchConfig(dg.Config, MatchSettings):
    """When two clips have the same recording in them."""


def fingerprints_of(source: Source) -> dg.AssetsDefinition:
    key = [source.name, FINGERPRINTS_NAME]

    @dg.asset(
        key=key,
        ins={"audio": dg.AssetIn(key=[source.name, "audio"])},
        partitions_def=dg.StaticPartitionsDefinition(source.partitions()),
        group_name=source.name,
        kinds={"numpy", "parquet"},
        owners=OWNERS,
        description=f"The spectral peaks of {source.title}'s clips, by which the same recording is found in "
        "a benchmark. Audio that has not changed is not read again.",
        metadata=schema_metadata(FINGERPRINTS),
    )
    def fingerprints(context: dg.AssetExecutionContext, audio: pa.Table, store: StoreResource) -> Stage:
        columns = ("clip_id", "source", "audio_path", "samples_sha256")
        rows = zip(*(audio.column(name).to_pylist() for name in columns), strict=True)
        return _fingerprinted(context, store, key, [StoredClip(*row) for row in rows])

    return fingerprints


def benchmark_fingerprints(benchmark: Benchmark) -> dg.AssetsDefinition:
    key = [OF_BENCHMARK, benchmark.name]

    @dg.asset(
        key=key,
        ins={"clips": dg.AssetIn(key=["benchmark", benchmark.name])},
        group_name=GROUP,
        kinds={"numpy", "parquet"},
        owners=OWNERS,
        description=f"The spectral peaks of the clips of {benchmark.title} whose audio is here.",
        metadata=schema_metadata(FINGERPRINTS),
    )
    def fingerprints(context: dg.AssetExecutionContext, clips: pa.Table, store: StoreResource) -> Stage:
        columns = ("clip_id", "benchmark", "audio_path")
        rows = zip(*(clips.column(name).to_pylist() for name in columns), strict=True)
        return _fingerprinted(context, store, key, [StoredClip(*row) for row in rows])

    return fingerprints


def audio_overlaps(benchmark: Benchmark, sources: Sequence[Source]) -> dg.AssetsDefinition:
    every = dg.AllPartitionMapping()

    @dg.asset(
        key=[AUDIO_OVERLAPS, benchmark.name],
        ins={
            "clips": dg.AssetIn(key=["benchmark", benchmark.name]),
            "fingerprints": dg.AssetIn(key=[OF_BENCHMARK, benchmark.name]),
        },
        deps=[dg.AssetDep([source.name, FINGERPRINTS_NAME], partition_mapping=every) for source in sources],
        group_name=GROUP,
        kinds={"numpy", "parquet"},
        owners=OWNERS,
        description=f"Clips of the set that have the sound of a clip of {benchmark.title}: encoded again, "
        "resampled, louder, cut, or inside a longer clip. `same` excludes them from training sets; `review` "
        "is for people. Clips of both sides that could not be compared are counted as dropped, with the "
        "reason.",
        metadata=schema_metadata(OVERLAPS),
    )
    def overlaps(
        context: dg.AssetExecutionContext,
        config: MatchConfig,
        wavcaps: pa.Table,
        clips: pa.Table,
        fingerprints: pa.Table,
        store: StoreResource,
    ) -> Stage:
        tables, wanted = store.tables(), wavcaps.select(["clip_id", "source"])
        of_set = _all_fingerprints(tables, sources)
        with logged_to(context), progress_bar("clips compared", len(wanted)) as bar:
            found = compare(wanted, of_set, clips, fingerprints, config, bar)
        context.add_output_metadata(
            {
                "pairs by verdict": dg.MetadataValue.md(
                    counts(found.stage.kept, "verdict", "benchmark_split")
                ),
                "pairs, best first": dg.MetadataValue.md(preview(found.stage.kept, SHOWN, rows=SHOWN_ROWS)),
                "clips of the set": dg.MetadataValue.int(found.clips),
                "of them not compared": dg.MetadataValue.int(found.unchecked),
                "clips of the benchmark": dg.MetadataValue.int(found.benchmark_clips),
                "of the benchmark not compared": dg.MetadataValue.int(found.benchmark_unchecked),
            }
        )
        if found.unchecked or found.benchmark_unchecked:
            context.log.warning(
                f"{found.unchecked} of {found.clips} clips of the set and {found.benchmark_unchecked} of "
                f"{found.benchmark_clips} of the benchmark could not be compared by sound: they have no "
                "fingerprint, or too little sound. Materialize the fingerprints of all partitions first."
            )
        return found.stage

    return overlaps


def _all_fingerprints(tables: TableStore, sources: Sequence[Source]) -> Iterator[pa.Table]:
    """The fingerprints of a partition at a time: those of all are larger than memory."""
    for source in sources:
        key = [source.name, FINGERPRINTS_NAME]
        for partition in tables.partitions(key):
            yield tables.read(key, [partition])


def _fingerprinted(
    context: dg.AssetExecutionContext, store: StoreResource, key: list[str], clips: Sequence[StoredClip]
) -> Stage:
    tables, partition = store.tables(), context.partition_key if context.has_partition_key else WHOLE
    same_recipe = tables.settings_of(key, partition) == RECIPE
    before = tables.read(key, [partition]) if same_recipe else None
    with logged_to(context), progress_bar("clips fingerprinted", len(clips)) as bar:
        found = fingerprint(clips, tables.store, before, bar)
    context.add_output_metadata(
        {
            "computed now": dg.MetadataValue.int(found.computed),
            "unchanged": dg.MetadataValue.int(len(found.stage.kept) - found.computed),
            "without readable audio": dg.MetadataValue.md(
                preview(found.stage.dropped, ["clip_id", "reason", "detail"], rows=SHOWN_ROWS)
            ),
        }
    )
    return found.stage


def _checks(benchmarks: Sequence[Benchmark], sources: Sequence[Source]) -> list[dg.AssetChecksDefinition]:
    def clips_of(key: list[str]) -> Upstream:
        return lambda tables, partition: tables.read(key, [partition or WHOLE], ["clip_id"])

    return [
        *(
            table_checks(
                [source.name, FINGERPRINTS_NAME],
                dg.StaticPartitionsDefinition(source.partitions()),
                clips_of([source.name, "audio"]),
            )
            for source in sources
        ),
        *(
            table_checks([OF_BENCHMARK, one.name], None, clips_of(["benchmark", one.name]))
            for one in benchmarks
        ),
        *(table_checks([AUDIO_OVERLAPS, one.name], None, unique=False) for one in benchmarks),
    ]


def definitions(location: Location) -> dg.Definitions:
    benchmarks = known_benchmarks(demo=not location.live)
    return dg.Definitions(
        assets=[
            *(fingerprints_of(source) for source in location.sources),
            *(benchmark_fingerprints(one) for one in benchmarks),
            *(audio_overlaps(one, location.sources) for one in benchmarks),
        ],
        asset_checks=_checks(benchmarks, location.sources),
        jobs=[
            dg.define_asset_job(
                f"compare_audio_{one.name}",
                selection=dg.AssetSelection.assets(
                    *([name, one.name] for name in ("benchmark", OF_BENCHMARK, AUDIO_OVERLAPS))
                ),
                description=f"Reads {one.title}, and looks for its sounds in the set.",
            )
            for one in benchmarks
        ],
    )
