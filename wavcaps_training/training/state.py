"""The saved state of a run, from which the next one resumes.

A safetensors file holds the weights, the optimizer's state and the run's position; reading it runs no code.
The random numbers of a step depend only on the seed and the number of the step. So no generator's state is
saved, and a resumed run ends with the weights of a run that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.checkpoint import load_weights, refuse_broken
from wavcaps_training.checkpoints.weights import as_os_error, tied_names
from wavcaps_training.settings.training import RunSettings
from wavcaps_training.training.distributed import is_first

STATE = "state.safetensors"
PROGRESS_KEY = "wavcaps_training_progress"
RUN_KEY = "wavcaps_training_run"
MODEL, OPTIMIZER = "model.", "optimizer."
# Settings that change how a run is computed, but not what it computes, with the values that the identity of a
# run has had for them since it exists.
WITHOUT_EFFECT = {"loader_workers": 0, "save_every_steps": None, "compile": False, "micro_batch_size": None}
# A setting that older versions did not have, and that does not change what is computed.
LATER = "max_unreadable_share"
# A setting that older versions did not have: their models had none of it.
LATER_OF_THE_MODEL = "input_dropout"

logger = logging.getLogger(__name__)


class SavedCopy(Protocol):
    """A copy of a run elsewhere, such as `RunCopy`."""

    def save(self) -> None:
        """Copies what the run has written since the last call."""


@dataclass
class Position:
    """How far a run is.

    Attributes:
        step: steps done.
        epoch: the current epoch, from 0.
        batch: batches of this epoch that are done.
        learning_curve: the epochs that are done, as in `TrainingResult`.
        best_epoch: the epoch with the best validation so far, from 1; 0: none yet.
        best_score: its score.
        loss_sum: sum of the losses of this epoch's examples so far.
        loss_count: how many examples these are.
        epoch_seconds: how long this epoch has taken so far (s).
        seconds: how long the run has taken so far, including reading audio (s).
        loss_scale: state of the gradient scaler of 16-bit training; None: there is no scaler.
        flops_per_clip: as in `TrainingResult`; None: not counted yet.
        unreadable: of each split, what is wrong with the clips that were left out, by clip id.
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
    unreadable: dict[str, dict[str, str]] = field(default_factory=dict)


def run_id(settings: RunSettings, manifest_sha256: str, initial_sha256: str | None) -> str:
    """The identity of a run: its settings, what it is trained on, and what it starts from.

    Settings that do not change the result are not part of it, so that a run resumes when they are changed.
    """
    same = settings.model_copy(update=WITHOUT_EFFECT)
    # Older versions had no such setting and left these clips out; their runs keep their identity.
    as_before = not (settings.buckets and settings.bucket_leftovers)
    later: dict[str, Any] = {LATER: True}
    if not settings.tf32:
        later["tf32"] = True
    if as_before:
        later["bucket_leftovers"] = True
    if getattr(getattr(same, "model", None), LATER_OF_THE_MODEL, None) == 0:
        later["model"] = {LATER_OF_THE_MODEL: True}
    text = same.model_dump_json(exclude=later)
    return hashlib.sha256(json.dumps([text, manifest_sha256, initial_sha256]).encode()).hexdigest()


class RunState:
    """The saved state of a run, in a folder.

    Args:
        folder: where its checkpoints are.
        run: of `run_id`.
        copy: a copy that is updated after each save; None: there is none.
    """

    def __init__(self, folder: Path, run: str, copy: SavedCopy | None = None) -> None:
        self._store = Store(folder)
        self._folder = folder
        self._run = run
        self._copy = copy

    def save(self, position: Position, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Writes the state in one step: a failure leaves the previous one.

        Raises:
            CheckpointError: a weight is not finite; a run that resumed from it could only fail.
            StoreError: the disk is full, or writing is not permitted.
        """
        # Frozen weights are those of a model that is built again, or started from the same checkpoint.
        left_out = tied_names(model).keys() | frozen_names(model)
        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in model.state_dict().items()
            if name not in left_out
        }
        refuse_broken(
            weights,
            f"the state after step {position.step} was not saved, and the previous one is unchanged; lower "
            "learning_rate, or set clip_gradient_norm",
        )
        tensors = {MODEL + name: tensor for name, tensor in weights.items()}
        for number, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"{OPTIMIZER}{number}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
        about = {PROGRESS_KEY: json.dumps(asdict(position)), RUN_KEY: self._run}
        with self._store.writing(STATE) as temporary:
            try:
                save_file(tensors, temporary, metadata=about)
            except SafetensorError as error:
                raise as_os_error(error) from error
        if self._copy is not None:
            self._copy.save()

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
        """Fills a model and its optimizer with the saved state, if there is one of this run.

        A state of another run, or one that cannot be read, is moved away. Of processes that train together,
        each reads the state, and the first one moves it.

        Returns:
            The position of the saved run; without one, that of a run at its beginning.
        """
        path = self._folder / STATE
        if not path.is_file():
            return Position()
        try:
            with safe_open(path, framework="pt") as file:
                about: Mapping[str, str] = file.metadata() or {}
            if about.get(RUN_KEY) != self._run:
                return self._move_away("belongs to a run with other settings, clips or initial weights")
            position = Position(**json.loads(about[PROGRESS_KEY]))
            tensors = load_file(path)
            present = model.state_dict()
            frozen = {name: present[name] for name in frozen_names(model)}
            load_weights(model, {**frozen, **_under(tensors, MODEL)}, str(path))
            _fill(optimizer, _under(tensors, OPTIMIZER))
        except FileNotFoundError:
            # The first process has moved it.
            return Position()
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            return self._move_away(f"cannot be read ({error})")
        step, epoch = position.step, position.epoch + 1
        logger.info("resuming from step %d, in epoch %d, where an earlier run stopped", step, epoch)
        return position

    def remove(self) -> None:
        """Deletes the state: the run is done."""
        self._store.remove(STATE)

    def _move_away(self, why: str) -> Position:
        if not is_first():
            return Position()
        path = self._folder / STATE
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        moved = path.with_name(f"state.{digest}.safetensors")
        path.replace(moved)
        logger.warning("the saved state %s: it was moved to %s, and the run starts again", why, moved)
        return Position()


def saved_step(path: Path) -> int:
    """After how many steps a state was saved; -1: there is no state, or it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return int(json.loads((file.metadata() or {})[PROGRESS_KEY])["step"])
    except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError):
        return -1


def frozen_names(model: nn.Module) -> set[str]:
    """The parameters of a model that are not trained."""
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _fill(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Fills a new optimizer with the state of one that has made steps."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
