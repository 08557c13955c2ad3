"""The checkpoints in the store as something to score: their weights, and what they were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from wavcaps_assets.benchmark_sets.evidence import NOBODY
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import CheckpointOrigin, read_origin
from wavcaps_training.checkpoints.header import stored_weights_sha256
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment
from wavcaps_training.paper.released import RELEASED_MODELS, SOURCE, released_named
from wavcaps_training.scoring.score import Subject
from wavcaps_training.scoring.trained_on import Described, FromManifest, Several, Training, TrainingData

Key = tuple[str, ...]
BY_KEY: Mapping[Key, Experiment] = {experiment.key: experiment for experiment in EXPERIMENTS}


@contextmanager
def checkpoint_at(key: Key, tables: TableStore, ids_of: Mapping[str, str] = NOBODY) -> Iterator[Subject]:
    """A checkpoint in the store, while its weights are a file on this machine.

    Args:
        key: of its asset.
        ids_of: by source, the source whose ids its clips have, for sources that were imported.

    Raises:
        NothingToScore: there is no such checkpoint.
        StoreError: its table or its weights cannot be read.
    """
    if not tables.rows(key, WHOLE):
        raise NothingToScore(
            f"{'/'.join(key)} has no table, or one without a row: materialize the checkpoint first"
        )
    (row,) = tables.read(key, [WHOLE], ["weights_path", "set_version"]).to_pylist()
    with tables.store.reading(row["weights_path"]) as weights:
        data = training_data("/".join(key[1:]), read_origin(weights), tables, ids_of)
        yield Subject("/".join(key[1:]), weights, data, row["set_version"])


def training_data(
    name: str, origin: CheckpointOrigin, tables: TableStore, ids_of: Mapping[str, str] = NOBODY
) -> TrainingData:
    """What a checkpoint was trained on, with what the checkpoints that it started from were trained on.

    What makes sound from texts also knows what its autoencoder and its retrieval model were trained on.

    Args:
        name: its model and its setting, such as `htsat_bert/zero_shot`, or its path.
        origin: the description in its file.
        tables: the store, which may have its training manifests and the checkpoints that it started from.
    """
    parts: list[TrainingData] = _of_networks(name, origin, tables, ids_of)
    seen: set[str | None] = set()
    while True:
        if origin.released is not None:
            parts.append(_released(origin.released))
            break
        experiment = BY_KEY.get(("checkpoint", *name.split("/")))
        manifest = experiment.training_manifest if experiment else None
        parts.append(FromManifest(tables, Training(name, origin.manifest_sha256, manifest), ids_of))
        seen.add(origin.weights_sha256)
        start = _start_of(name, origin, tables)
        if start is None:
            break
        if isinstance(start, str) or start[1].weights_sha256 in seen:
            parts.append(Described({}, start if isinstance(start, str) else "its history goes in a circle"))
            break
        name, origin = start
    return Several(parts)


def _start_of(
    name: str, origin: CheckpointOrigin, tables: TableStore
) -> tuple[str, CheckpointOrigin] | str | None:
    """The checkpoint that a checkpoint started from; None: fresh weights. Or why it is not known."""
    if origin.started_from == "":
        return None
    experiment = BY_KEY.get(("checkpoint", *name.split("/")))
    if origin.started_from is None:
        # Older versions did not write it down. What the experiment starts from is known.
        if experiment is None:
            return f"the file of {name} does not say what its training started from"
        if experiment.start_key is None:
            return None
        keys: list[Key] = [experiment.start_key]
    else:
        keys = [*BY_KEY, *(released.key for released in RELEASED_MODELS)]
    for key in keys:
        path = _weights_of(key, tables)
        sha256 = stored_weights_sha256(tables.store, path) if path else None
        if sha256 is not None and origin.started_from in (None, sha256):
            return "/".join(key[1:]), _origin_at(path, tables)
    what = "/".join(keys[0]) if origin.started_from is None else "what it started from"
    return f"{name} was trained further from a checkpoint, and {what} is not in the store"


def _of_networks(
    name: str, origin: CheckpointOrigin, tables: TableStore, ids_of: Mapping[str, str]
) -> list[TrainingData]:
    """What the frozen networks of a latent diffusion model were trained on; of other models, nothing."""
    model: Any = origin.settings.model
    if origin.settings.task != "generation":
        return []
    found: list[TrainingData] = []
    for part, sha256 in (
        ("autoencoder", model.autoencoder_sha256),
        ("conditioned_by", model.conditioned_by_sha256),
    ):
        row = next((row for row in stored_latents(tables) if row[f"{part}_sha256"] == sha256), None)
        if row is None or not tables.store.exists(row[f"{part}_path"]):
            what = "retrieval model" if part == "conditioned_by" else part
            found.append(Described({}, f"the {what} of {name} is not in the store"))
        else:
            found.append(training_data(row[part], _origin_at(row[f"{part}_path"], tables), tables, ids_of))
    return found


def stored_latents(tables: TableStore) -> Iterator[Mapping[str, Any]]:
    """The rows of all tables of latents, `tables.LATENTS`."""
    for key in dict.fromkeys(one.latents_key for one in EXPERIMENTS if one.latents_key):
        if tables.exists(key, None):
            yield from tables.read(key, [WHOLE]).to_pylist()


def stored_origin(key: Key, tables: TableStore) -> CheckpointOrigin | None:
    """The description of a stored checkpoint; None: it is not there."""
    path = _weights_of(key, tables)
    return _origin_at(path, tables) if path and tables.store.exists(path) else None


def _weights_of(key: Key, tables: TableStore) -> str:
    """The path of a stored checkpoint's weights; empty: there is no such checkpoint."""
    if not tables.rows(key, WHOLE):
        return ""
    return str(tables.read(key, [WHOLE], ["weights_path"])["weights_path"][0].as_py())


def _origin_at(path: str, tables: TableStore) -> CheckpointOrigin:
    with tables.store.reading(path) as weights:
        return read_origin(weights)


def _released(name: str) -> Described:
    released = released_named(name)
    if released is None:
        return Described({}, "it was released by others, who do not say here what it was trained on")
    # Another model may have the name of a released file.
    why = f"{released.description} ({SOURCE}). This is known by the name of its file only"
    return Described(released.benchmarks, why)
