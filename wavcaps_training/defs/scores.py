"""The scores of the checkpoints on their own test splits."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.show.plots import as_markdown, grouped_bars
from wavcaps_assets.tables.asset_tables import set_version_of
from wavcaps_training.defs.common import OWNERS, Location, device, encoder_scope
from wavcaps_training.defs.embeddings import known_embeddings
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.evaluation.directions import DIRECTIONS
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.paper.models import RETRIEVAL, Stage
from wavcaps_training.tables import (
    RETRIEVAL_SCORES,
    RETRIEVAL_SCORES_KEY,
    SEED_SCORES,
    SEED_SCORES_KEY,
)

TRAINED = "trained"
OF_WHOM = ("checkpoint", "weights_sha256", "trained_on_sha256", "scored_on_sha256", "protocol", "device")


def definitions(location: Location) -> dg.Definitions:
    scored, retries = location.scored, location.gpus.gpu_step_retries
    others = [
        experiment
        for experiment in location.experiments
        if experiment.stage is Stage.DEMO and experiment.model.task is RETRIEVAL and experiment is not scored
    ]
    assets = [_retrieval_scores(scored, RETRIEVAL_SCORES_KEY, retries)]
    assets += [_retrieval_scores(experiment, experiment.scores_key, retries) for experiment in others]
    if scored.stage is Stage.DEMO:
        assets.append(_seed_scores(scored, retries))
    return dg.Definitions(assets=assets)


def _of_checkpoint(experiment: Experiment, retries: int) -> dict[str, Any]:
    """What assets that score an experiment's checkpoint have in common: their inputs, and how they run."""
    embeddings = list(experiment.embeddings_key) if experiment.embeddings_key else None
    return {
        "ins": {
            "training_manifest": dg.AssetIn(key=list(experiment.training_manifest)),
            "checkpoint": dg.AssetIn(key=list(experiment.key)),
        },
        "deps": [embeddings] if embeddings else [],
        "group_name": "scores",
        "kinds": {"pytorch", "parquet"},
        "owners": OWNERS,
        "op_tags": gpu_tags(1),
        "pool": GPU,
        "retry_policy": gpu_retries(retries),
    }


def _retrieval_scores(experiment: Experiment, key: Sequence[str], retries: int) -> dg.AssetsDefinition:
    @dg.asset(
        key=list(key),
        **_of_checkpoint(experiment, retries),
        description="Audio-language retrieval on the test split: R@k, mAP@10 and the median rank in both "
        "directions (section IV.A, Table V), with bootstrap intervals, next to chance and to the model "
        "before training.",
        metadata=schema_metadata(RETRIEVAL_SCORES),
    )
    @scoped(encoder_scope(experiment))
    def retrieval(
        context: dg.AssetExecutionContext,
        training_manifest: pa.Table,
        checkpoint: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        from wavcaps_training.evaluation.scores import score_checkpoint

        tables = store.tables()
        known = known_embeddings(tables, experiment)
        with final_errors(), logged_to(context):
            scores = score_checkpoint(training_manifest, checkpoint, tables.store, device(), known)
        bars: dict[str, dict[str, float]] = {}
        for row in scores.to_pylist():
            if not row["metric"].startswith("R@"):
                continue
            group = f"{DIRECTIONS[row['direction']]}\n{row['metric']}"
            bars.setdefault(group, {})[row["model"]] = row["value"]
        context.add_output_metadata(
            {
                "recall": dg.MetadataValue.md(as_markdown(grouped_bars(bars, "recall (%)"))),
                "clips scored": scores["clips"][0].as_py(),
                "left out, without readable audio": scores["unreadable"][0].as_py(),
                "version of the set that was scored": set_version_of(training_manifest) or "none",
                "version of the set that was trained on": checkpoint["set_version"][0].as_py() or "none",
                **score_metadata(scores),
            }
        )
        return scores

    return retrieval


class SeedsConfig(dg.Config):
    """With which seeds the model is trained again."""

    seeds: list[int] = Field(
        [21, 22], description="seeds in addition to the checkpoint's own; their weights are not kept"
    )


def _seed_scores(experiment: Experiment, retries: int) -> dg.AssetsDefinition:
    @dg.asset(
        key=list(SEED_SCORES_KEY),
        **_of_checkpoint(experiment, retries),
        description="The checkpoint's model trained again with other seeds, and the scores of all of them on "
        "the test split: how much of a score is chance.",
        metadata=schema_metadata(SEED_SCORES),
    )
    @scoped(encoder_scope(experiment))
    def seeds(
        context: dg.AssetExecutionContext,
        config: SeedsConfig,
        training_manifest: pa.Table,
        checkpoint: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        from wavcaps_training.training.seeds import score_seeds

        tables = store.tables()
        known = known_embeddings(tables, experiment)
        with final_errors(), logged_to(context):
            scores = score_seeds(training_manifest, checkpoint, known, tables.store, config.seeds, device())
        context.add_output_metadata(seed_metadata(scores))
        return scores

    return seeds


def seed_metadata(scores: pa.Table) -> dict[str, dg.MetadataValue]:
    """The mean of each score over the seeds, and its standard deviation.

    Args:
        scores: `tables.SEED_SCORES`.
    """
    said: dict[str, dg.MetadataValue] = {"seeds": dg.MetadataValue.int(scores["seeds"][0].as_py())}
    for row in scores.to_pylist():
        if row["seed"] is None:
            name = f"{row['metric']}, {DIRECTIONS[row['direction']]}"
            said[f"{name}, mean"] = dg.MetadataValue.float(row["value"])
            if row["deviation"] is not None:
                said[f"{name}, standard deviation"] = dg.MetadataValue.float(row["deviation"])
    return said


def score_metadata(scores: pa.Table) -> dict[str, dg.MetadataValue]:
    """The trained model's scores as numbers, which the web UI plots over all materializations, and of what.

    Args:
        scores: `tables.RETRIEVAL_SCORES`.
    """
    trained = [row for row in scores.to_pylist() if row["model"] == TRAINED]
    values = {
        f"{row['metric']}, {DIRECTIONS[row['direction']]}{end}": dg.MetadataValue.float(row[column])
        for row in trained
        for column, end in _columns(row)
    }
    said = {name: str(row[name]) for row in trained for name in OF_WHOM if row[name] is not None}
    return {**values, **{name: dg.MetadataValue.text(text) for name, text in said.items()}}


def _columns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns of a score that are shown, and the ends of their names."""
    unit = "" if row["metric"] == "median rank" else " (%)"
    ends = [("low", f", 95 % from{unit}"), ("high", f", 95 % to{unit}")]
    return [("value", unit), *(end for end in ends if row[end[0]] is not None)]
