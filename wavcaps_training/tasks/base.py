"""What a task must offer so that it can be trained."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from wavcaps_training.data import Batch, Clip
from wavcaps_training.settings.training import RunSettings


class TrainingError(RuntimeError):
    """Training cannot start, or cannot go on."""


@dataclass(frozen=True)
class Part:
    """A part of a step's loss.

    Attributes:
        loss: what to go backward from; the parts' gradients add up to the step's.
        value: what it adds to the loss that is reported.
    """

    loss: Tensor
    value: float


class Task(ABC):
    """A model, and how it learns from batches and is validated.

    Attributes:
        model: the model, which the trainer moves and steps.
        settings: of the model and the run.
        epoch: the epoch that is trained, from 0, for errors.
        selection: the validation score whose highest value picks the best epoch.
        shown: the validation scores that are told epoch by epoch, and what people call them.
    """

    model: nn.Module
    settings: RunSettings
    epoch: int = 0
    selection: ClassVar[str]
    shown: ClassVar[Mapping[str, str]]

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss of a training batch, a mean."""

    @abstractmethod
    def validate(self, batch: Batch) -> None:
        """Takes in a validation batch."""

    @abstractmethod
    def validation_scores(self) -> dict[str, float]:
        """The scores of what was taken in, `validation_loss` among them; it is then forgotten."""

    @abstractmethod
    def save(self, path: Path, manifest_sha256: str | None = None) -> None:
        """Writes a checkpoint of the model as it is; see `checkpoints.save_checkpoint`."""

    @abstractmethod
    def compile(self) -> None:
        """Compiles what takes the time, with `torch.compile`."""

    @property
    @abstractmethod
    def audio_network(self) -> nn.Module:
        """The model's audio encoder."""

    def weight(self, batch: Batch) -> int:
        """How much a batch counts in a mean of losses."""
        return len(batch.clip_ids)

    def parts(self, batch: Batch) -> Iterator[Part]:
        """The loss of a training batch, in one part or in several that fit the device one by one.

        Each part's graph may be freed before the next is asked for.

        Raises:
            TrainingError: a loss is no number; names the clips.
        """
        whole = self.weight(batch)
        for part in micro_batches(batch, self.settings.micro_batch_size):
            loss = self.loss(part) * (self.weight(part) / whole)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise self.broken("loss", value, part.clip_ids)
            yield Part(loss, value)

    def prepare(self, clips: Sequence[Clip]) -> None:  # noqa: B027
        """Does what is done once for all clips, when the model is on its device: here nothing."""

    def broken(self, what: str, value: float, clip_ids: Sequence[str]) -> TrainingError:
        """What is said of a loss or a gradient that is no number.

        Args:
            clip_ids: the clips that may be to blame.
        """
        return TrainingError(
            f"the {what} became {value} in epoch {self.epoch + 1}, with the clips {', '.join(clip_ids)}; "
            f"look at their audio, or lower learning_rate (now {self.settings.learning_rate}). The "
            "checkpoint of the best epoch so far and the last saved state are as they were"
        )


def micro_batches(batch: Batch, size: int | None) -> list[Batch]:
    """A batch in parts of `size` examples, the last of which may be smaller; none: the whole."""
    size = size or len(batch.clip_ids)
    return [
        Batch(
            batch.clip_ids[start : start + size],
            batch.captions[start : start + size],
            batch.audio[start : start + size],
        )
        for start in range(0, len(batch.clip_ids), size)
    ]
