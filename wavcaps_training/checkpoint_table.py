"""An experiment's checkpoint: its weights in the store, and the row that says how they came to be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from wavcaps_assets import schemas
from wavcaps_training.experiments import Experiment
from wavcaps_training.train import train


def train_experiment(
    experiment: Experiment, manifest: pa.Table, root: Path, device: str, say: Callable[[str], None]
) -> pa.Table:
    """Trains a model as an experiment says.

    Args:
        experiment: the model and its settings.
        manifest: `schemas.TRAINING_MANIFEST`.
        root: the folder of the store, which audio and weights are relative to.
        device: `cpu` or `cuda`.
        say: told a line an epoch.

    Returns:
        `schemas.CHECKPOINT`, one row.

    Raises:
        TrainingError, AudioReadError, StoreError: as `train` does.
    """
    folder = Path("checkpoints") / experiment.model / experiment.setting
    result = train(
        manifest,
        root,
        experiment.training,
        root / folder,
        device,
        lambda entry: say(
            f"epoch {entry['epoch']}: loss {entry['train_loss']:.3f}, "
            f"validation R@10 {entry['validation_recall_at_10']:.1f} %"
        ),
    )
    row = asdict(result)
    weights, untrained = row.pop("weights"), row.pop("untrained_weights")
    return schemas.CHECKPOINT.from_rows(
        [
            {
                "model": experiment.model,
                "setting": experiment.setting,
                "weights_path": weights.relative_to(root).as_posix(),
                "untrained_weights_path": untrained.relative_to(root).as_posix(),
                "settings_json": experiment.training.model_dump_json(),
                "manifest_sha256": rows_sha256(manifest),
                **row,
            }
        ]
    )


def rows_sha256(manifest: pa.Table) -> str:
    """A hash of what a model learns from: each clip's id, caption and split, in the order of the ids."""
    digest = hashlib.sha256()
    for row in manifest.select(["clip_id", "caption", "split"]).sort_by("clip_id").to_pylist():
        digest.update("\0".join(row.values()).encode() + b"\n")
    return digest.hexdigest()
