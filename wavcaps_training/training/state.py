"""Where a run is, written down so that the next one goes on from there.

A file holds the weights, the optimizer's memory and the run's own counts, as safetensors: reading it runs
nothing. What chance draws in a step depends on the seed and the number of the step alone, so no state of a
generator is kept, and a run that went on ends with the weights of one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.files import load_weights, refuse_broken
from wavcaps_training.checkpoints.weights import as_os_error, tied_names
from wavcaps_training.settings.training import RunSettings
from wavcaps_training.training.distributed import is_first

STATE = "state.safetensors"
PROGRESS_KEY = "wavcaps_training_progress"
RUN_KEY = "wavcaps_training_run"
MODEL, OPTIMIZER = "model.", "optimizer."


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: steps done.
        epoch: the epoch that it is in, from 0.
        batch: batches of this epoch that are done.
        learning_curve: the epochs that are done, as in `TrainingResult`.
        best_epoch: of those, the one with the best validation, from 1; 0: none yet.
        best_score: its score.
        loss_sum: of this epoch's examples so far.
        loss_count: how many these are.
        epoch_seconds: how long this epoch has taken so far (s).
        seconds: how long the run has taken so far, with reading the audio (s).
        loss_scale: by which 16-bit gradients are kept from vanishing, as its scaler says; none: no scaler.
        flops_per_clip: as in `TrainingResult`; none: not counted yet.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    learning_curve: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float | None = None
    loss_sum: float = 0.0
    loss_count: int = 0
    epoch_seconds: float = 0.0
    seconds: float = 0.0
    loss_scale: dict[str, float] | None = None
    flops_per_clip: float | None = None


def run_id(settings: RunSettings, manifest_sha256: str, initial_sha256: str | None) -> str:
    """What makes a run this one: its settings, what it is trained on, and what it starts from."""
    return hashlib.sha256(
        json.dumps([settings.model_dump_json(), manifest_sha256, initial_sha256]).encode()
    ).hexdigest()


class RunState:
    """The saved state of a run, in a folder.

    Args:
        folder: where its checkpoints are.
        run: of `run_id`.
        say: told what is done with a state that is found.
        after_save: called when a state has been written.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        say: Callable[[str], object],
        after_save: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = Store(folder)
        self._folder = folder
        self._run = run
        self._say = say
        self._after_save = after_save

    def save(self, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Writes the state in one step: a failure leaves the one before.

        Raises:
            CheckpointError: a weight is not finite: who went on from there could not but fail.
            StoreError: there is no room, or no right to write.
        """
        double = tied_names(model)
        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in model.state_dict().items()
            if name not in double
        }
        refuse_broken(
            weights,
            f"the state after step {progress.step} was not saved, and the one before it is as it was; lower "
            "learning_rate, or set clip_gradient_norm",
        )
        tensors = {MODEL + name: tensor for name, tensor in weights.items()}
        for number, memory in optimizer.state_dict()["state"].items():
            for name, value in memory.items():
                tensors[f"{OPTIMIZER}{number}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
        about = {PROGRESS_KEY: json.dumps(asdict(progress)), RUN_KEY: self._run}
        with self._store.writing(STATE) as temporary:
            try:
                save_file(tensors, temporary, metadata=about)
            except SafetensorError as error:
                raise as_os_error(error) from error
        self._after_save()

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Fills a model and its optimizer with the state that is there; none: where a run begins.

        A state of another run, or one that cannot be read, is set aside and not continued. Of processes that
        train together, each reads it, and the first sets it aside.
        """
        path = self._folder / STATE
        if not path.is_file():
            return Progress()
        try:
            with safe_open(path, framework="pt") as file:
                about: Mapping[str, str] = file.metadata() or {}
            if about.get(RUN_KEY) != self._run:
                return self._set_aside("is of a run with other settings, clips or initial weights")
            progress = Progress(**json.loads(about[PROGRESS_KEY]))
            tensors = load_file(path)
            load_weights(model, _under(tensors, MODEL), str(path))
            _fill(optimizer, _under(tensors, OPTIMIZER))
        except FileNotFoundError:
            # The first process has set it aside.
            return Progress()
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            return self._set_aside(f"cannot be read ({error})")
        self._say(
            f"goes on from step {progress.step}, in epoch {progress.epoch + 1}, where an earlier run stopped"
        )
        return progress

    def remove(self) -> None:
        """Forgets the state: the run is done."""
        self._store.remove(STATE)

    def _set_aside(self, why: str) -> Progress:
        if not is_first():
            return Progress()
        path = self._folder / STATE
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        aside = path.with_name(f"state.{digest}.safetensors")
        path.replace(aside)
        self._say(f"the saved state {why}: it was put aside as {aside}, and the run begins anew")
        return Progress()


def saved_step(path: Path) -> int:
    """After how many steps a state was saved; -1: there is none, or none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return int(json.loads((file.metadata() or {})[PROGRESS_KEY])["step"])
    except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError):
        return -1


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _fill(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Fills an optimizer that has made no step with the memory of one that has."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
