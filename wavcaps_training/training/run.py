"""One training run, as Lightning wants it: what happens in a step, an epoch, a validation."""

from __future__ import annotations

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from tensorboardX import SummaryWriter
from torch.utils.data import DataLoader

from wavcaps_training.data import AudioFiles, Batch, Clip, LogMelCache, batch_loader, examples_of, plan_epoch
from wavcaps_training.settings.training import Precision, RunSettings
from wavcaps_training.tasks.base import Task
from wavcaps_training.training.state import Progress, RunState
from wavcaps_training.training.throughput import Flops


class Stopped(Exception):
    """The process was asked to stop; where the run is has been saved."""


@dataclass(frozen=True)
class Sides:
    """What a run learns from, and what it is validated on."""

    train: Sequence[Clip]
    validation: Sequence[Clip]
    audio: AudioFiles
    cache: LogMelCache | None


@dataclass(frozen=True)
class Tell:
    """Who is told how a run gets on.

    Attributes:
        on_step: called with each step's loss, and with its number of clips.
        on_epoch: called with each entry of the learning curve.
        writer: TensorBoard's; None: another process writes.
    """

    on_step: Callable[[float, int], object]
    on_epoch: Callable[[dict[str, Any]], object]
    writer: SummaryWriter | None


class TrainingRun(lightning.LightningModule):
    """The steps of a run: what Lightning calls, batch by batch and epoch by epoch.

    Lightning's own epochs count from where the run was begun or resumed; `progress` counts the whole run's.
    """

    def __init__(
        self, task: Task, sides: Sides, weights: Path, manifest_sha256: str, state: RunState, tell: Tell
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task = task
        self.model = task.model
        self.settings: RunSettings = task.settings
        self.sides = sides
        self.weights = weights
        self.manifest_sha256 = manifest_sha256
        self.state = state
        self.tell = tell
        self.progress = Progress()
        self.stop_after_step = False
        self.optimizer = adam(self.model, self.settings)
        self.steps_per_epoch = steps_per_epoch(sides.train, self.settings)

    def resume(self) -> None:
        """Goes on from the saved state, if there is one of this run."""
        self.progress = self.state.load(self.model, self.optimizer)

    @property
    def done(self) -> bool:
        """Whether no epoch is left, or validation has not got better for as many as are to be waited for."""
        progress, patience = self.progress, self.settings.early_stop_epochs
        waited = patience is not None and progress.epoch - progress.best_epoch >= patience
        return progress.epoch >= self.settings.epochs or waited

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer

    def train_dataloader(self) -> DataLoader[Batch]:
        return batch_loader(
            self.sides.train,
            self.sides.audio,
            self.settings,
            training=True,
            epoch=self.progress.epoch,
            first_batch=self.progress.batch,
            rank=self.global_rank,
            world_size=self.trainer.world_size,
            cache=self.sides.cache,
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        return batch_loader(
            self.sides.validation, self.sides.audio, self.settings, training=False, cache=self.sides.cache
        )

    def on_fit_start(self) -> None:
        steps_to_devices(self.optimizer)
        self.task.prepare([*self.sides.train, *self.sides.validation])
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and self.progress.loss_scale is not None:
            scaler.load_state_dict(self.progress.loss_scale)

    def on_train_start(self) -> None:
        # Not before: Lightning has a handler of its own, which would end the run without saving it. It puts
        # back what was there before when it is done.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        self.stop_after_step = True

    def on_train_epoch_start(self) -> None:
        self.clock = time.monotonic()
        self.task.epoch = self.progress.epoch

    def training_step(self, batch: Batch) -> None:
        progress = self.progress
        torch.manual_seed(step_seed(self.settings.seed, progress.step, self.global_rank))
        self.step_clips = batch.clip_ids
        if progress.flops_per_clip is None:
            # Not compiled: what is first called where operations are counted would never be compiled.
            with torch.compiler.set_stance("force_eager"), Flops() as flops:
                value = self._backward(batch)
            progress.flops_per_clip = flops.total / len(batch.clip_ids)
        else:
            value = self._backward(batch)
        self.learning_rate = self.settings.learning_rate * self.rate_factor(progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        optimizer: Any = self.optimizers()
        optimizer.step()
        progress.step += 1
        progress.batch += 1
        progress.loss_sum += value * len(batch.clip_ids)
        progress.loss_count += len(batch.clip_ids)
        self.tell.on_step(value, len(batch.clip_ids) * self.trainer.world_size)
        if self.tell.writer is not None:
            self.tell.writer.add_scalar("train/loss", value, progress.step)
            self.tell.writer.add_scalar("train/learning_rate", self.learning_rate, progress.step)

    def _backward(self, batch: Batch) -> float:
        self.optimizer.zero_grad()
        value = 0.0
        for part in self.task.parts(batch):
            self.manual_backward(part.loss)
            value += part.value
        return value

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Here, and not before: gradients of 16 bits have only now lost the factor that they are kept up by.
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # A scaled loss may overflow now and then: its scaler leaves that step out.
        if not torch.isfinite(norm) and self.settings.precision is not Precision.FP16:
            raise self.task.broken("gradient", float(norm), self.step_clips)
        if self.settings.clip_gradient_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(
                self.model.parameters(), self.settings.clip_gradient_norm, norm
            )

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.trainer.is_last_batch:
            # Validation comes next, and the run is saved after it. A run cannot go on between the two: to
            # Lightning an epoch without batches is none.
            return
        every = self.settings.save_every_steps
        if self.stop_after_step or (every is not None and self.progress.step % every == 0):
            self.save_state()
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.stop_after_step:
            raise Stopped(
                f"training was asked to stop after step {self.progress.step}, in epoch "
                f"{self.progress.epoch + 1}; materialize it again, and it goes on from there"
            )

    def save_state(self) -> None:
        """Writes down where the run is."""
        progress, now = self.progress, time.monotonic()
        progress.epoch_seconds += now - self.clock
        progress.seconds += now - self.clock
        self.clock = now
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        progress.loss_scale = scaler.state_dict() if scaler is not None else None
        if self.trainer.is_global_zero:
            self.state.save(progress, self.model, self.optimizer)

    def on_validation_epoch_start(self) -> None:
        self.trained_seconds = self.progress.epoch_seconds + time.monotonic() - self.clock

    def validation_step(self, batch: Batch) -> None:
        self.task.validate(batch)

    def on_validation_epoch_end(self) -> None:
        scores = self.task.validation_scores()
        progress, now = self.progress, time.monotonic()
        progress.epoch_seconds += now - self.clock
        progress.seconds += now - self.clock
        self.clock = now
        clips = progress.loss_count * self.trainer.world_size
        entry = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.loss_sum / progress.loss_count,
            "validation_loss": scores.pop("validation_loss"),
            "scores": [{"name": name, "value": value} for name, value in scores.items()],
            "learning_rate": self.learning_rate,
            "seconds": progress.epoch_seconds,
            "clips_per_second": clips / self.trained_seconds,
        }
        progress.learning_curve.append(entry)
        score = scores[self.task.selection]
        if progress.best_score is None or score > progress.best_score:
            progress.best_score, progress.best_epoch = score, progress.epoch + 1
            if self.trainer.is_global_zero:
                self.task.save(self.weights, self.manifest_sha256)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.loss_sum, progress.loss_count, progress.epoch_seconds = 0.0, 0, 0.0
        if self.tell.writer is not None:
            for name, value in {**scores, "loss": entry["validation_loss"]}.items():
                self.tell.writer.add_scalar(f"validation/{name}", value, progress.epoch)
            self.tell.writer.add_scalar("train/clips_per_second", entry["clips_per_second"], progress.epoch)
            self.tell.writer.flush()
        self.save_state()
        self.tell.on_epoch(entry)
        self._stop_if_asked()
        if self.done:
            self.trainer.should_stop = True

    def rate_factor(self, step: int) -> float:
        """The learning rate of a step over its highest value."""
        warmup = round(self.settings.warmup_epochs * self.steps_per_epoch)
        total = self.settings.epochs * self.steps_per_epoch
        return learning_rate_factor(step, warmup, total, self.settings.cosine)


def adam(model: torch.nn.Module, settings: RunSettings) -> torch.optim.Adam:
    """The optimizer of what is trained of a model."""
    return torch.optim.Adam(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        decoupled_weight_decay=settings.decoupled_weight_decay,
        # One pass over the weights. With a scaled loss it would take the scaling on itself, and Lightning
        # could not clip the gradients.
        fused=settings.precision is not Precision.FP16,
    )


def steps_to_devices(optimizer: torch.optim.Adam) -> None:
    """Puts a fused Adam's counts of steps where its weights are, which Lightning leaves where they were."""
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["fused"] else ():
            memory = optimizer.state.get(parameter)
            if memory:
                memory["step"] = memory["step"].to(parameter.device)


def steps_per_epoch(clips: Sequence[Clip], settings: RunSettings) -> int:
    """How many steps an epoch has, as the learning rate is laid out."""
    examples = examples_of(clips, settings.captions, settings.seed, 0)
    if settings.count_steps_as_released:
        return len(examples) // settings.batch_size + 1
    return len(plan_epoch(examples, settings, 0, training=True))


def step_seed(seed: int, step: int, rank: int) -> int:
    """What torch's generators are seeded with before a step, so that it can be repeated."""
    digest = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)


def learning_rate_factor(step: int, warmup: int, total: int, cosine: bool) -> float:
    """The learning rate of a step over its highest value.

    Args:
        step: counts from 0.
        warmup: steps of linear warm-up; the last of them has the full rate.
        total: steps of the whole run.
        cosine: whether it then falls to 0 along a half cosine, or stays.
    """
    if step < warmup:
        return (step + 1) / warmup
    if not cosine:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
