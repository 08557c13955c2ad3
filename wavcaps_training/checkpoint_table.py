"""An experiment's checkpoint: its weights in the store, and the row that says how they came to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from wavcaps_assets import schemas
from wavcaps_training.data import AudioFolder
from wavcaps_training.experiments import Experiment
from wavcaps_training.manifest_version import rows_sha256
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
        AudioFolder(root),
        experiment.training,
        root / folder,
        device,
        lambda entry: say(told(entry)),
        say=say,
    )
    row = asdict(result)
    weights, untrained, events = (row.pop(name) for name in ("weights", "untrained_weights", "tensorboard"))
    return schemas.CHECKPOINT.from_rows(
        [
            {
                "model": experiment.model,
                "setting": experiment.setting,
                "weights_path": weights.relative_to(root).as_posix(),
                "untrained_weights_path": untrained.relative_to(root).as_posix(),
                "tensorboard_path": events.relative_to(root).as_posix(),
                "settings_json": experiment.training.model_dump_json(),
                "manifest_sha256": rows_sha256(manifest),
                **row,
            }
        ]
    )


def told(entry: Mapping[str, Any]) -> str:
    """An entry of the learning curve in a line."""
    scores = ", ".join(f"{score['name']} {score['value']:.3g}" for score in entry["scores"])
    return (
        f"epoch {entry['epoch']}: loss {entry['train_loss']:.3f}, validation loss "
        f"{entry['validation_loss']:.3f}, {scores}; {entry['clips_per_second']:.1f} clips/s"
    )
