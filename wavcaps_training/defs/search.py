"""The index of each retrieval checkpoint, the scores of short queries, and people's ratings."""

from typing import Any

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import MAY_SHRINK, schema_metadata
from wavcaps_assets.show.previews import counts
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.tables.asset_tables import WHOLE, OtherVersion, TableStore, set_version_of
from wavcaps_training.defs.common import OWNERS, Location, device, encoder_scope
from wavcaps_training.defs.embeddings import known_embeddings
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.paper.released import ReleasedModel
from wavcaps_training.tables import (
    INDEX_FOLDER,
    QUERY_SCORES,
    QUERY_SCORES_FOLDER,
    SEARCH_INDEX,
    SEARCH_RATINGS,
    SEARCH_RATINGS_KEY,
)

Checkpoint = Experiment | ReleasedModel
GROUP = "search"
JOB = "index_for_search"


def definitions(location: Location) -> dg.Definitions:
    retries = location.gpus.gpu_step_retries
    every: tuple[Checkpoint, ...] = (*location.experiments, *location.released)
    experiments = [one for one in every if one.settings().task == "retrieval"]
    scored = location.scored
    return dg.Definitions(
        assets=[
            *(_index(experiment, retries) for experiment in experiments),
            *(_query_scores(experiment, retries) for experiment in experiments),
            _ratings(),
        ],
        asset_checks=[_index_is_current(experiment) for experiment in experiments],
        jobs=[
            dg.define_asset_job(
                JOB,
                selection=dg.AssetSelection.assets(_index_key(scored), _scores_key(scored)),
                description="Makes the index that `wavcaps search` reads, for the checkpoint in the "
                "report, and scores short queries.",
            )
        ],
    )


def _index_key(experiment: Checkpoint) -> list[str]:
    return [INDEX_FOLDER, *experiment.key[1:]]


def _scores_key(experiment: Checkpoint) -> list[str]:
    return [QUERY_SCORES_FOLDER, *experiment.key[1:]]


def _common(retries: int) -> dict[str, Any]:
    return {
        "group_name": GROUP,
        "kinds": {"pytorch", "parquet"},
        "owners": OWNERS,
        "op_tags": gpu_tags(1),
        "pool": GPU,
        "retry_policy": gpu_retries(retries),
    }


def _index(experiment: Checkpoint, retries: int) -> dg.AssetsDefinition:
    key = _index_key(experiment)
    embeddings = list(experiment.embeddings_key) if experiment.embeddings_key else None

    @dg.asset(
        key=key,
        ins={"wavcaps": dg.AssetIn(), "checkpoint": dg.AssetIn(key=list(experiment.key))},
        deps=[embeddings] if embeddings else [],
        **_common(retries),
        description=f"The published clips and captions as vectors of {experiment.name}, for `wavcaps "
        "search`. With the same weights, only what is new or changed is computed again.",
        metadata={**schema_metadata(SEARCH_INDEX), **MAY_SHRINK},
    )
    @scoped(encoder_scope(experiment))
    def search_index(
        context: dg.AssetExecutionContext, wavcaps: pa.Table, checkpoint: pa.Table, store: StoreResource
    ) -> pa.Table:
        from wavcaps_training.data import AudioFiles
        from wavcaps_training.search.indexing import build_index

        tables = store.tables()
        known = known_embeddings(tables, experiment)
        with (
            final_errors(),
            logged_to(context),
            tables.store.reading(_weights(checkpoint, experiment)) as weights,
            progress_bar("indexing", 0, "clips") as bar,
        ):
            audio = AudioFiles(tables.store)
            index = build_index(wavcaps, _before(tables, key), weights, audio, device(), known, bar)
        context.add_output_metadata(
            {
                "clips": index.num_rows,
                "left out, without readable audio": wavcaps.num_rows - index.num_rows,
                "version of the set": set_version_of(wavcaps) or "none",
            }
        )
        return index

    return search_index


def _query_scores(experiment: Checkpoint, retries: int) -> dg.AssetsDefinition:
    @dg.asset(
        key=_scores_key(experiment),
        ins={
            "index": dg.AssetIn(key=_index_key(experiment)),
            "checkpoint": dg.AssetIn(key=list(experiment.key)),
            "wavcaps": dg.AssetIn(),
            "training_manifest": dg.AssetIn(),
        },
        **_common(retries),
        description="How well queries of two words find their clip among the clips of the set's test split, "
        "next to whole captions and to further captions.",
        metadata={**schema_metadata(QUERY_SCORES), **MAY_SHRINK},
    )
    @scoped(encoder_scope(experiment))
    def query_scores(
        context: dg.AssetExecutionContext,
        index: pa.Table,
        checkpoint: pa.Table,
        wavcaps: pa.Table,
        training_manifest: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        from wavcaps_training.search.query_scores import score_short_queries

        with (
            final_errors(),
            logged_to(context),
            store.tables().store.reading(_weights(checkpoint, experiment)) as weights,
        ):
            scores = score_short_queries(
                experiment.name, index, wavcaps, training_manifest, weights, device()
            )
        context.add_output_metadata(
            {
                f"{row['metric']}, {row['query']} (%)": dg.MetadataValue.float(row["value"])
                for row in scores.to_pylist()
                if row["metric"].startswith("R@")
            }
        )
        return scores

    return query_scores


def _ratings() -> dg.AssetsDefinition:
    @dg.asset(
        key=list(SEARCH_RATINGS_KEY),
        group_name=GROUP,
        kinds={"parquet"},
        owners=OWNERS,
        description=f"{SEARCH_RATINGS.description} Materialize it after people have rated results on the "
        "page of `wavcaps search --page`.",
        metadata={**schema_metadata(SEARCH_RATINGS), **MAY_SHRINK},
    )
    def search_ratings(context: dg.AssetExecutionContext, store: StoreResource) -> pa.Table:
        from wavcaps_training.search.ratings import ratings_table

        table = ratings_table(store.tables().store)
        context.add_output_metadata(
            {"thumbs": dg.MetadataValue.md(counts(table, "checkpoint", "query_kind", "thumb"))}
        )
        return table

    return search_ratings


def _index_is_current(experiment: Checkpoint) -> dg.AssetChecksDefinition:
    key = _index_key(experiment)

    @dg.asset_check(
        asset=key,
        name="index_is_current",
        description="The index is of the published set and of the checkpoint's weights. Another one is "
        "refused, or leaves out what changed.",
    )
    def index_is_current(store: StoreResource) -> dg.AssetCheckResult:
        from wavcaps_training.search.currency import what_is_stale

        stale = what_is_stale(store.tables(), experiment.name)
        return dg.AssetCheckResult(
            passed=not stale,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(stale) or "the index is current",
        )

    return index_is_current


def _weights(checkpoint: pa.Table, experiment: Checkpoint) -> str:
    """The path of the checkpoint's weights.

    Raises:
        Failure: its table has no row.
    """
    if not checkpoint.num_rows:
        raise dg.Failure(
            f"the table of checkpoint/{experiment.name} has no row: materialize the checkpoint first",
            allow_retries=False,
        )
    return str(checkpoint["weights_path"][0].as_py())


def _before(tables: TableStore, key: list[str]) -> pa.Table:
    """The index as it was; empty: there is none that can be read."""
    if not tables.exists(key, None):
        return SEARCH_INDEX.empty()
    try:
        return tables.read(key, [WHOLE])
    except OtherVersion:
        return SEARCH_INDEX.empty()
