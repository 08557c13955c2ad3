"""One training run as a Lightning module: what happens in a step, an epoch and a validation."""

from __future__ import annotations

import hashlib
import math
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import DataLoader

from wavcaps_training.data import (
    AudioCache,
    AudioFiles,
    Batch,
    Clip,
    EpochShare,
    batch_loader,
    examples_of,
    plan_epoch,
    unreadable_clips,
)
from wavcaps_training.settings.training import Precision, RunSettings
from wavcaps_training.tasks.base import Task
from wavcaps_training.tasks.gathering import gathered_notes
from wavcaps_training.training.reporting import RunReport
from wavcaps_training.training.state import Position, RunState
from wavcaps_training.training.throughput import Flops

# After how many steps the losses are read and checked. To read one, the process waits until the GPU has
# computed it, and meanwhile gives the GPU nothing to do.
STEPS_BETWEEN_CHECKS = {"cuda": 20}


class Stopped(Exception):
    """The process was asked to stop, and the run was saved."""


@dataclass(frozen=True)
class UnreadStep:
    """A step whose loss is still on the device.

    Attributes:
        step: counts from 1.
        value: the loss.
        norm: of the gradients.
        clip_ids: the clips of its batch.
        learning_rate: that it was made with.
    """

    step: int
    value: Tensor
    norm: Tensor
    clip_ids: Sequence[str]
    learning_rate: float


@dataclass(frozen=True)
class Splits:
    """The clips that a run is trained on, those that it is validated on, and their audio.

    Attributes:
        cache: log-mels or features to use in place of waveforms; None: there are none.
    """

    train: Sequence[Clip]
    validation: Sequence[Clip]
    audio: AudioFiles
    cache: AudioCache | None


class TrainingRun(lightning.LightningModule):
    """The steps of a run: what Lightning calls, batch by batch and epoch by epoch.

    Lightning counts epochs from where the run was started or resumed; `position` counts all of the run's.

    Args:
        task: the model and how it learns.
        splits: what it learns from.
        weights: where the best epoch's checkpoint is written.
        manifest_sha256: version of the training manifest, for the checkpoint.
        state: the run's saved state.
    """

    # Set before Lightning starts, once the number of steps is known.
    report: RunReport

    def __init__(
        self, task: Task, splits: Splits, weights: Path, manifest_sha256: str, state: RunState
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task = task
        self.model = task.model
        self.settings: RunSettings = task.settings
        self.splits = splits
        self.weights = weights
        self.manifest_sha256 = manifest_sha256
        self.state = state
        self.unreadable = {
            "train": unreadable_clips(splits.train, self.settings, "clips of the train split"),
            "validation": unreadable_clips(splits.validation, self.settings, "clips of the validation split"),
        }
        self.position = Position()
        self.stop_after_step = False
        self.steps_between_checks = 1
        self.unread: list[UnreadStep] = []
        self.optimizer = adam(self.model, self.settings)
        self.steps_per_epoch = steps_per_epoch(splits.train, self.settings)

    def resume(self) -> None:
        """Resumes from the saved state, if there is one of this run."""
        self.position = self.state.load(self.model, self.optimizer)
        self.learning_rate = self.settings.learning_rate * self.rate_factor(max(self.position.step - 1, 0))

    @property
    def validation_is_due(self) -> bool:
        """Whether the run was stopped in the validation of an epoch, whose training is done."""
        epoch, settings = self.position.epoch, self.settings
        examples = examples_of(self.splits.train, settings.captions, settings.seed, epoch)
        return self.position.batch >= len(plan_epoch(examples, settings, epoch, training=True))

    @property
    def done(self) -> bool:
        """Whether no epoch is left, or validation has not improved for `early_stop_epochs`."""
        position, patience = self.position, self.settings.early_stop_epochs
        waited = patience is not None and position.epoch - position.best_epoch >= patience
        return position.epoch >= self.settings.epochs or waited

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer

    def train_dataloader(self) -> DataLoader[Batch]:
        return batch_loader(
            self.splits.train,
            self.splits.audio,
            self.settings,
            EpochShare(self.position.epoch, self.position.batch, self.global_rank, self.trainer.world_size),
            self.splits.cache,
            self.unreadable["train"],
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        return batch_loader(
            self.splits.validation,
            self.splits.audio,
            self.settings,
            cache=self.splits.cache,
            unreadable=self.unreadable["validation"],
        )

    def on_fit_start(self) -> None:
        steps_to_devices(self.optimizer)
        self.steps_between_checks = STEPS_BETWEEN_CHECKS.get(self.device.type, 1)
        self.task.check_at_once = self.steps_between_checks == 1
        self.task.prepare([*self.splits.train, *self.splits.validation])
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and self.position.loss_scale is not None:
            scaler.load_state_dict(self.position.loss_scale)

    def on_train_start(self) -> None:
        # Not earlier: Lightning installs a handler of its own, which would end the run without saving it. It
        # restores the previous one at the end.
        self._stop_on_signal()

    def _stop_on_signal(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        self.stop_after_step = True

    def on_train_epoch_start(self) -> None:
        self.clock = time.monotonic()
        self.task.epoch = self.position.epoch

    def training_step(self, batch: Batch) -> None:
        position = self.position
        torch.manual_seed(step_seed(self.settings.seed, position.step, self.global_rank))
        self.step_clips = batch.clip_ids
        if position.flops_per_clip is None:
            # Not compiled: a function whose first call is counted would never be compiled.
            with torch.compiler.set_stance("force_eager"), Flops() as flops:
                value = self._backward(batch)
            position.flops_per_clip = flops.total / len(batch.clip_ids)
        else:
            value = self._backward(batch)
        self.learning_rate = self.settings.learning_rate * self.rate_factor(position.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        optimizer: Any = self.optimizers()
        optimizer.step()
        self.task.after_step()
        position.step += 1
        position.batch += 1
        step = UnreadStep(position.step, value, self.norm, batch.clip_ids, self.learning_rate)
        self.unread.append(step)
        if len(self.unread) >= self.steps_between_checks:
            self._read_losses()
        kept = self.task.keep_as(position.step)
        if kept is not None and self.trainer.is_global_zero:
            self.task.save(self.weights.with_name(kept), self.manifest_sha256)

    def _read_losses(self) -> None:
        """Reports the steps since the last call.

        Raises:
            TrainingError: a loss or a gradient is not finite.
        """
        steps, self.unread = self.unread, []
        if not steps:
            return
        both = torch.stack(
            [torch.stack([step.value.double(), step.norm.double()]) for step in steps]
        ).tolist()
        for step, (value, norm) in zip(steps, both, strict=True):
            if not math.isfinite(value):
                raise self.task.broken("loss", value, step.clip_ids)
            self._check_norm(norm, step.clip_ids)
            self.position.loss_sum += value * len(step.clip_ids)
            self.position.loss_count += len(step.clip_ids)
            self.report.step(step.step, value, step.learning_rate)

    def _check_norm(self, norm: float, clip_ids: Sequence[str]) -> None:
        # A scaled loss overflows now and then; the scaler then skips the step.
        if not math.isfinite(norm) and self.settings.precision is not Precision.FP16:
            raise self.task.broken("gradient", norm, clip_ids)

    def _backward(self, batch: Batch) -> Tensor:
        self.optimizer.zero_grad()
        value = torch.zeros((), dtype=torch.float64, device=self.device)
        for part in self.task.parts(batch):
            self.manual_backward(part.loss)
            value = value + part.value
        return value

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Not earlier: only now are 16-bit gradients unscaled.
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm = self.norm = torch.nn.utils.get_total_norm(gradients)
        if self.task.check_at_once:
            self._check_norm(float(norm), self.step_clips)
        if self.settings.clip_gradient_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(
                self.model.parameters(), self.settings.clip_gradient_norm, norm
            )

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.trainer.is_last_batch:
            # Validation comes next, and the run is saved after it.
            self._read_losses()
            return
        every = self.settings.save_every_steps
        if self.stop_after_step or (every is not None and self.position.step % every == 0):
            self.save_state()
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.stop_after_step:
            raise Stopped(
                f"training was asked to stop after step {self.position.step}, in epoch "
                f"{self.position.epoch + 1}; materialize it again to resume from there"
            )

    def save_state(self) -> None:
        """Saves where the run is."""
        self._read_losses()
        position, now = self.position, time.monotonic()
        position.epoch_seconds += now - self.clock
        position.seconds += now - self.clock
        self.clock = now
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        position.loss_scale = scaler.state_dict() if scaler is not None else None
        if self.trainer.is_global_zero:
            self.state.save(position, self.model, self.optimizer)

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == TrainerFn.VALIDATING:
            # The validation that was due when the run was resumed.
            self.clock = time.monotonic()
            self.task.epoch = self.position.epoch
            self.task.prepare([*self.splits.train, *self.splits.validation])
            self._stop_on_signal()

    def on_validation_epoch_start(self) -> None:
        self.trained_seconds = self.position.epoch_seconds + time.monotonic() - self.clock

    def validation_step(self, batch: Batch) -> None:
        self.task.validate(batch)
        if self.stop_after_step:
            # The epoch's training is saved. Its validation is repeated, and does not count twice.
            now = time.monotonic()
            self.position.seconds += now - self.clock
            self.position.epoch_seconds = self.trained_seconds
            self.clock = now
            self.save_state()
            self._stop_if_asked()

    def _note_unreadable(self) -> None:
        """Records the clips that were left out since the run was started or resumed, by any process."""
        for split, clips in self.unreadable.items():
            clips.add(gathered_notes(clips.problems))
            self.position.unreadable.setdefault(split, {}).update(clips.problems)
            if self.trainer.is_global_zero:
                clips.warn()

    def on_validation_epoch_end(self) -> None:
        self._note_unreadable()
        # Devices round differently. If each decided by its own scores, one could stop while the others wait.
        scores = self.trainer.strategy.broadcast(self.task.validation_scores())
        position, now = self.position, time.monotonic()
        position.epoch_seconds += now - self.clock
        position.seconds += now - self.clock
        self.clock = now
        clips = position.loss_count * self.trainer.world_size
        entry = {
            "epoch": position.epoch + 1,
            "train_loss": position.loss_sum / position.loss_count,
            "validation_loss": scores.pop("validation_loss"),
            "scores": [{"name": name, "value": value} for name, value in scores.items()],
            "learning_rate": self.learning_rate,
            "seconds": position.epoch_seconds,
            "clips_per_second": clips / self.trained_seconds,
        }
        position.learning_curve.append(entry)
        score = scores[self.task.selection]
        if position.best_score is None or score > position.best_score:
            position.best_score, position.best_epoch = score, position.epoch + 1
            if self.trainer.is_global_zero:
                self.task.save(self.weights, self.manifest_sha256)
        position.epoch, position.batch = position.epoch + 1, 0
        position.loss_sum, position.loss_count, position.epoch_seconds = 0.0, 0, 0.0
        self.save_state()
        self.report.epoch(entry)
        self._stop_if_asked()
        if self.done:
            self.trainer.should_stop = True

    def rate_factor(self, step: int) -> float:
        """The learning rate of a step over its highest value."""
        warmup = round(self.settings.warmup_epochs * self.steps_per_epoch)
        total = self.settings.epochs * self.steps_per_epoch
        return learning_rate_factor(step, warmup, total, self.settings.cosine)


def adam(model: torch.nn.Module, settings: RunSettings) -> torch.optim.Adam:
    """The optimizer of a model's trainable parameters."""
    return torch.optim.Adam(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        decoupled_weight_decay=settings.decoupled_weight_decay,
        # One pass over the weights. With a scaled loss, the fused optimizer unscales the gradients itself,
        # and Lightning could not clip them.
        fused=settings.precision is not Precision.FP16,
    )


def steps_to_devices(optimizer: torch.optim.Adam) -> None:
    """Moves a fused Adam's step counts to the devices of its weights, which Lightning does not do."""
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["fused"] else ():
            moments = optimizer.state.get(parameter)
            if moments:
                moments["step"] = moments["step"].to(parameter.device)


def steps_per_epoch(clips: Sequence[Clip], settings: RunSettings) -> int:
    """How many steps an epoch has in the learning-rate schedule."""
    examples = examples_of(clips, settings.captions, settings.seed, 0)
    if settings.count_steps_as_released:
        return len(examples) // settings.batch_size + 1
    return len(plan_epoch(examples, settings, 0, training=True))


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of torch's generators before a step, which makes the step repeatable."""
    digest = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)


def learning_rate_factor(step: int, warmup: int, total: int, cosine: bool) -> float:
    """The learning rate of a step over its highest value.

    Args:
        step: counts from 0.
        warmup: steps of linear warm-up; the last of them has the full rate.
        total: steps of the whole run.
        cosine: whether it then decays to 0 along a half cosine; otherwise it stays.
    """
    if step < warmup:
        return (step + 1) / warmup
    if not cosine:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
