"""The result of a run, and its description in the run's folder.

The description is the last file that a run writes: if it exists, the run is done and complete. A run that was
killed after that, before its result was recorded, is not run again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wavcaps_assets.store.storage import MissingFile, Store
from wavcaps_training.checkpoints.checkpoint import WEIGHTS as WEIGHTS

UNTRAINED_WEIGHTS = "untrained.safetensors"
TENSORBOARD = "tensorboard"
RESULT = "result.json"


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run.

    Attributes:
        folder: where its files are.
        learning_curve: one entry per epoch, with the fields of `tables.LEARNING_CURVE`; epochs count from 1.
        best_epoch: the epoch of `weights`.
        parameters: number of parameters.
        trainable_parameters: number of parameters that were trained.
        seconds: duration of the run (s), including reading audio; of a resumed run, all its parts.
        device: the device that it ran on.
        devices: number of devices.
        train_clips: clips of the train split that the run has trained on.
        validation_clips: clips of the validation split that it was validated on.
        flops_per_clip: floating-point operations of a training step, per clip.
        utilisation: share of the devices' peak performance that was reached (MFU); None: not known.
        unreadable_clips: ids of the clips of both splits that were left out, because their audio could not
            be read.
        set_version: the version of the set that it was trained on; None: not known.
    """

    folder: Path
    learning_curve: list[dict[str, Any]]
    best_epoch: int
    parameters: int
    trainable_parameters: int
    seconds: float
    device: str
    devices: int
    train_clips: int
    validation_clips: int
    flops_per_clip: float
    utilisation: float | None
    unreadable_clips: list[str] = field(default_factory=list)
    set_version: str | None = None

    @property
    def weights(self) -> Path:
        """The checkpoint of the best epoch by validation."""
        return self.folder / WEIGHTS

    @property
    def untrained_weights(self) -> Path:
        """The checkpoint before the first step."""
        return self.folder / UNTRAINED_WEIGHTS

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.folder / TENSORBOARD

    def write(self, run: str) -> None:
        """Writes the description.

        Args:
            run: the run's identity, as of `run_id`.

        Raises:
            StoreError: the disk is full, or writing is not permitted.
        """
        fields = asdict(self)
        del fields["folder"]
        content = json.dumps({"run": run, "result": fields}, indent=1)
        Store(self.folder).write_bytes(RESULT, content.encode())


def read_result(store: Store, path: str, run: str) -> dict[str, Any] | None:
    """The fields of a `TrainingResult` except its folder; None: the run is not done.

    Args:
        path: of the description in the store.
        run: the run's identity, as of `run_id`.
    """
    try:
        written = json.loads(store.read_bytes(path))
    except MissingFile:
        return None
    fields: dict[str, Any] = written["result"]
    return fields if written["run"] == run else None
