"""One training run, as Lightning wants it: what happens in a step, an epoch, a validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from wavcaps_training.checkpoints import save_checkpoint
from wavcaps_training.data import Batch
from wavcaps_training.evaluation.retrieval import score_retrieval
from wavcaps_training.losses import objective_loss
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings import TrainingSettings


class TrainingError(RuntimeError):
    """Training cannot start, or cannot go on."""


class RetrievalTraining(lightning.LightningModule):
    """The steps of a run: what Lightning calls, batch by batch and epoch by epoch."""

    def __init__(
        self,
        model: RetrievalModel,
        settings: TrainingSettings,
        weights: Path,
        train_clips: int,
        on_epoch: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.weights = weights
        self.steps_per_epoch = max(train_clips // settings.batch_size, 1)
        self.on_epoch = on_epoch
        self.learning_curve: list[dict[str, Any]] = []
        self.best_epoch = 0
        self.best_recall_sum = -math.inf
        self.frozen_text: dict[str, Tensor] = {}
        self.train_losses = Mean()
        self.validation_losses = Mean()
        self.validated: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> Any:
        settings = self.settings
        optimizer = torch.optim.Adam(
            [parameter for parameter in self.model.parameters() if parameter.requires_grad],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            decoupled_weight_decay=True,
        )
        warmup = round(settings.warmup_epochs * self.steps_per_epoch)
        total = settings.epochs * self.steps_per_epoch
        schedule = LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, warmup, total, settings.cosine)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        self.epoch_started = time.monotonic()

    def training_step(self, batch: Batch) -> Tensor:
        loss, _, _ = self.loss(batch)
        self.train_losses.add(float(loss.detach()), len(batch.clip_ids))
        self.learning_rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        return loss

    def validation_step(self, batch: Batch) -> None:
        loss, audio, text = self.loss(batch)
        self.validation_losses.add(float(loss), len(batch.clip_ids))
        self.validated.append((audio.cpu(), text.cpu()))

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of a batch, and its audio and text embeddings."""
        cached = self.settings.cache_log_mel
        audio = self.model.embed_log_mel(batch.audio) if cached else self.model.embed_audio(batch.audio)
        text = self.model.embed_text_features(self.text_features(batch.captions))
        loss = objective_loss(self.settings.objective, audio, text, batch.clip_ids, self.model.temp)
        if not torch.isfinite(loss):
            broken = ~torch.isfinite(audio).all(dim=1) | ~torch.isfinite(text).all(dim=1)
            blamed = [
                clip for clip, is_broken in zip(batch.clip_ids, broken.tolist(), strict=True) if is_broken
            ]
            raise TrainingError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}, with the clips "
                f"{', '.join(blamed or batch.clip_ids)}; look at their audio, or lower learning_rate "
                f"(now {self.settings.learning_rate})"
            )
        return loss, audio, text

    def text_features(self, captions: Sequence[str]) -> Tensor:
        """What the text encoder says of captions; a frozen one is asked once for each."""
        if not self.settings.model.text.frozen:
            return self.model.text_encoder(captions)
        new = [caption for caption in dict.fromkeys(captions) if caption not in self.frozen_text]
        if new:
            self.frozen_text.update(zip(new, self.model.text_encoder(new), strict=True))
        return torch.stack([self.frozen_text[caption] for caption in captions])

    def on_validation_epoch_end(self) -> None:
        audio, text = (torch.cat(side).float().numpy() for side in zip(*self.validated, strict=True))
        scores = score_retrieval(audio, text, np.arange(len(audio)))
        epoch = self.current_epoch + 1
        entry = {
            "epoch": epoch,
            "train_loss": self.train_losses.take(),
            "validation_loss": self.validation_losses.take(),
            "validation_recall_at_1": scores.mean_recall_at(1),
            "validation_recall_at_10": scores.mean_recall_at(10),
            "learning_rate": self.learning_rate,
            "seconds": time.monotonic() - self.epoch_started,
        }
        self.validated.clear()
        self.learning_curve.append(entry)
        if scores.recall_sum > self.best_recall_sum:
            self.best_recall_sum, self.best_epoch = scores.recall_sum, epoch
            save_checkpoint(self.weights, self.model, self.settings)
        self.on_epoch(entry)


class Mean:
    """A mean over clips that come in batches."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, value: float, count: int) -> None:
        """Adds a value that is itself the mean over `count` clips."""
        self.total += value * count
        self.count += count

    def take(self) -> float:
        """The mean since the last call."""
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        return mean


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
