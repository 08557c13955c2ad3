"""Decontamination by embeddings: those of benchmarks' clips, and which clips of the set are alike."""

from collections.abc import Iterator

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks import known_benchmarks
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark
from wavcaps_assets.benchmark_sets.heard import AUDIO_OVERLAPS, EMBEDDING_OVERLAPS
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.settings import Sources
from wavcaps_assets.show.previews import counts, preview
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.tables import OVERLAPS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, path_of, set_version_of, with_set_version
from wavcaps_training.defs.common import OWNERS, Location, device, encoder_scope
from wavcaps_training.defs.embeddings import credit
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.evaluation.near_duplicates import SET_CLIPS, SimilaritySettings, near_duplicates
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import ALIKE_BY, Experiment
from wavcaps_training.tables import AUDIO_EMBEDDINGS, BENCHMARK_EMBEDDINGS_FOLDER

GROUP = "benchmarks"
SHOWN = ["clip_id", "benchmark_clip_id", "benchmark_split", "score", "verdict"]
SHOWN_ROWS = 30


class SimilarityConfig(dg.Config, SimilaritySettings):
    """Which clips are alike."""


def _benchmark_embeddings(benchmark: Benchmark, experiment: Experiment, retries: int) -> dg.AssetsDefinition:
    key = [BENCHMARK_EMBEDDINGS_FOLDER, benchmark.name]

    @dg.asset(
        key=key,
        ins={
            "clips": dg.AssetIn(key=["benchmark", benchmark.name]),
            "fingerprints": dg.AssetIn(key=["benchmark_fingerprints", benchmark.name]),
        },
        group_name=GROUP,
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        op_tags=gpu_tags(1),
        pool=GPU,
        retry_policy=gpu_retries(retries),
        description=f"What the frozen audio encoder {_encoder(experiment)} makes of the clips of "
        f"{benchmark.title} whose audio is here. Audio that has not changed is not computed again.",
        metadata=schema_metadata(AUDIO_EMBEDDINGS),
    )
    @scoped(encoder_scope(experiment))
    def benchmark_embeddings(
        context: dg.AssetExecutionContext, clips: pa.Table, fingerprints: pa.Table, store: StoreResource
    ) -> pa.Table:
        from wavcaps_training.data import AudioFiles
        from wavcaps_training.evaluation.clip_features import embed_set

        tables = store.tables()
        known = tables.read(key, [WHOLE]) if tables.exists(key, None) else AUDIO_EMBEDDINGS.empty()
        with final_errors(), logged_to(context), progress_bar("embedding", 0, "clips") as bar:
            embeddings = embed_set(
                _with_hashes(clips, fingerprints),
                known,
                experiment.settings(),
                AudioFiles(tables.store),
                device(),
                bar,
            )
        left_out = clips.num_rows - embeddings.num_rows
        context.add_output_metadata(
            {
                "clips": embeddings.num_rows,
                "left out, without readable audio": left_out,
                **credit(experiment),
            }
        )
        return embeddings

    return benchmark_embeddings


def _embedding_overlaps(benchmark: Benchmark, experiment: Experiment) -> dg.AssetsDefinition:
    of_set = list(experiment.embeddings_key or ())
    audio = [AUDIO_OVERLAPS, benchmark.name]

    @dg.asset(
        key=[EMBEDDING_OVERLAPS, benchmark.name],
        ins={
            "clips": dg.AssetIn(key=["benchmark", benchmark.name]),
            "embeddings": dg.AssetIn(key=[BENCHMARK_EMBEDDINGS_FOLDER, benchmark.name]),
        },
        deps=[of_set, audio],
        group_name=GROUP,
        kinds={"numpy", "parquet"},
        owners=OWNERS,
        description=f"Clips of the set that sound like a clip of {benchmark.title}, by the audio encoder "
        f"{_encoder(experiment)}: also at another speed or pitch, which a fingerprint does not find. For "
        "people to look at; no clip is excluded.",
        metadata=schema_metadata(OVERLAPS),
    )
    def overlaps(
        context: dg.AssetExecutionContext,
        config: SimilarityConfig,
        wavcaps: pa.Table,
        clips: pa.Table,
        embeddings: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        tables = store.tables()
        with logged_to(context), progress_bar("clips compared", len(wavcaps)) as bar:
            found = near_duplicates(
                lambda: _of_published_audio(tables, of_set, wavcaps),
                wavcaps.select(["clip_id", "source"]),
                clips,
                embeddings,
                config,
                bar,
            )
        new = found
        if tables.exists(audio, None):
            new = found.filter(pc.invert(_same_pairs(found, tables.read(audio, [WHOLE]))))
        context.add_output_metadata(
            {
                "pairs by split": dg.MetadataValue.md(counts(found, "verdict", "benchmark_split")),
                "pairs that the fingerprint did not find": dg.MetadataValue.int(len(new)),
                "of these, the most similar": dg.MetadataValue.md(preview(new, SHOWN, rows=SHOWN_ROWS)),
                "clips of the benchmark": dg.MetadataValue.int(len(clips)),
                "of them compared": dg.MetadataValue.int(len(embeddings)),
            }
        )
        return with_set_version(found, set_version_of(wavcaps))

    return overlaps


def _with_hashes(clips: pa.Table, fingerprints: pa.Table) -> pa.Table:
    """The clips with audio, with the hash of their files, as `embed_set` reads a manifest."""
    place = pc.index_in(clips.column("clip_id"), value_set=fingerprints.column("clip_id").combine_chunks())
    hashes = fingerprints.column("audio_sha256").take(place)
    columns = {name: clips.column(name) for name in ("clip_id", "audio_path")}
    # Only training sorts clips by their durations.
    table = pa.table(
        {**columns, "duration_s": pc.fill_null(clips.column("duration_s"), 0.0), "samples_sha256": hashes}
    )
    return table.filter(pc.and_(pc.is_valid(table["audio_path"]), pc.is_valid(table["samples_sha256"])))


def _of_published_audio(tables: TableStore, key: list[str], published: pa.Table) -> Iterator[pa.Table]:
    """The embeddings of the set, some at a time, of the audio that is published."""
    from wavcaps_training.evaluation.clip_features import of_published_audio

    with tables.store.opening_table(path_of(key, None)) as file:
        columns = ["clip_id", "samples_sha256", "embedding"]
        for batch in file.iter_batches(SET_CLIPS, columns=columns):
            yield of_published_audio(pa.table(batch), published)


def _same_pairs(found: pa.Table, others: pa.Table) -> pa.ChunkedArray:
    """Which rows have the pair of clips of one of the others."""

    def pairs(table: pa.Table) -> pa.ChunkedArray:
        return pc.binary_join_element_wise(table["clip_id"], table["benchmark_clip_id"], "\n")

    return pc.is_in(pairs(found), value_set=pairs(others).combine_chunks())


def _encoder(experiment: Experiment) -> str:
    return experiment.settings().audio_encoder.encoder


def definitions(location: Location) -> dg.Definitions:
    benchmarks = known_benchmarks(demo=location.settings.sources is Sources.EMBEDDED)
    retries = location.gpus.gpu_step_retries
    return dg.Definitions(
        assets=[
            *(_benchmark_embeddings(one, ALIKE_BY, retries) for one in benchmarks),
            *(_embedding_overlaps(one, ALIKE_BY) for one in benchmarks),
        ],
        asset_checks=[table_checks([EMBEDDING_OVERLAPS, one.name], None, unique=False) for one in benchmarks],
        jobs=[
            dg.define_asset_job(
                f"compare_embeddings_{one.name}",
                selection=dg.AssetSelection.assets(
                    list(ALIKE_BY.embeddings_key or ()),
                    [BENCHMARK_EMBEDDINGS_FOLDER, one.name],
                    [EMBEDDING_OVERLAPS, one.name],
                ),
                description=f"Looks for sounds that are like those of {one.title}, by an audio encoder. Run "
                f"compare_audio_{one.name} first.",
            )
            for one in benchmarks
        ],
    )
