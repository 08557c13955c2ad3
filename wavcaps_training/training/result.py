"""What a run made, and how that is written down beside it.

The description is the last file of a run: where it is, the run is done and whole. A run that was killed after
that, before anyone recorded what it made, is not run again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wavcaps_assets.store.storage import MissingFile, Store

WEIGHTS = "weights.safetensors"
UNTRAINED_WEIGHTS = "untrained.safetensors"
TENSORBOARD = "tensorboard"
RESULT = "result.json"


@dataclass(frozen=True)
class TrainingResult:
    """What a run made.

    Attributes:
        folder: where it is.
        learning_curve: one entry an epoch, with the fields of `tables.LEARNING_CURVE`; epochs count from 1.
        best_epoch: the epoch that `weights` is of.
        parameters: number of parameters.
        trainable_parameters: number of parameters that were trained.
        seconds: how long the run took (s), with reading the audio; of a resumed run, all its parts.
        device: what it ran on.
        devices: on how many of them.
        train_clips: clips in the train split.
        validation_clips: clips in the validation split.
        flops_per_clip: floating-point operations of a training step, for each clip in it.
        utilisation: the share of the devices' peak that was reached (MFU); None: their peak is not known.
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
        """Writes the description beside what was made.

        Args:
            run: which run it was, as of `run_id`.

        Raises:
            StoreError: there is no room, or no right to write.
        """
        fields = asdict(self)
        del fields["folder"]
        content = json.dumps({"run": run, "result": fields}, indent=1)
        Store(self.folder).write_bytes(RESULT, content.encode())


def read_result(store: Store, path: str, run: str) -> dict[str, Any] | None:
    """The fields of a `TrainingResult`, but for its folder, of a run that is done; None if it is not.

    Args:
        path: of the description in the store.
        run: which run is asked for.
    """
    try:
        written = json.loads(store.read_bytes(path))
    except MissingFile:
        return None
    fields: dict[str, Any] = written["result"]
    return fields if written["run"] == run else None
