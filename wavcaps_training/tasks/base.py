"""What a task must provide so that it can be trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from wavcaps_training.data import AudioCache, Batch, Clip
from wavcaps_training.data.latents import GenerationInputs
from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.settings.training import RunSettings


class TrainingError(RuntimeError):
    """Training cannot start or continue."""


@dataclass(frozen=True)
class Part:
    """A part of a step's loss.

    Attributes:
        loss: the backward pass starts from it; the gradients of all parts add up to the step's.
        value: its share of the loss that is reported, on the device: reading it waits for a GPU.
    """

    loss: Tensor
    value: Tensor


class Task(ABC):
    """A model, and how it learns from batches and is validated.

    Attributes:
        model: the model that is trained.
        settings: of the model and the run.
        epoch: the epoch that is trained, from 0, for errors.
        started_from: the hash of the weights that the training started from; empty: fresh weights.
        selection: the validation score whose highest value picks the best epoch.
        cached: what takes the place of clips' waveforms, if the task has it; None: nothing.
        check_at_once: whether a loss that is not finite is an error before its backward pass. On a GPU the
            run looks at the losses of several steps together, because each look waits for the GPU.
    """

    model: nn.Module
    settings: RunSettings
    epoch: int = 0
    started_from: str | None = ""
    cached: AudioCache | None = None
    check_at_once: bool = True
    selection: ClassVar[str]

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss of a training batch, a mean."""

    @abstractmethod
    def validate(self, batch: Batch) -> None:
        """Adds a validation batch to the scores."""

    @abstractmethod
    def validation_scores(self) -> dict[str, float]:
        """The scores of the validation batches since the last call, with `validation_loss`."""

    @abstractmethod
    def save(self, path: Path, manifest_sha256: str | None = None) -> None:
        """Writes a checkpoint of the model; see `checkpoints.checkpoint.save_checkpoint`."""

    @abstractmethod
    def compile(self) -> None:
        """Compiles the expensive part of the model with `torch.compile`."""

    @property
    def audio_network(self) -> AudioNetwork:
        """The model's audio encoder; a task whose settings allow no `audio_weights` has none."""
        raise NotImplementedError

    def read_inputs(self, inputs: GenerationInputs | None, clips: Sequence[Clip]) -> None:  # noqa: B027
        """Reads what is trained on in addition to the clips; by default nothing.

        Args:
            inputs: its files.
            clips: of the train split.
        """

    def after_step(self) -> None:  # noqa: B027
        """Called after each step of the optimizer; by default nothing is done."""

    def keep_as(self, step: int) -> str | None:
        """The name of the file under which the model is kept after a step; None: it is not kept."""
        return None

    def weight(self, batch: Batch) -> int:
        """The weight of a batch in a mean of losses."""
        return len(batch.clip_ids)

    def parts(self, batch: Batch) -> Iterator[Part]:
        """The loss of a training batch, in one part or in several, each of which fits the device.

        The graph of a part may be freed before the next part is requested.

        Raises:
            TrainingError: a loss is not finite; names the clips.
        """
        whole = self.weight(batch)
        for part in micro_batches(batch, self.settings.micro_batch_size):
            loss = self.loss(part) * (self.weight(part) / whole)
            value = loss.detach()
            if self.check_at_once and not torch.isfinite(value):
                raise self.broken("loss", float(value), part.clip_ids)
            yield Part(loss, value)

    def prepare(self, clips: Sequence[Clip]) -> None:  # noqa: B027
        """Computes what is needed once for all clips, when the model is on its device; by default nothing."""

    def broken(
        self, what: str, value: float, clip_ids: Sequence[str], *, alone: bool = False
    ) -> TrainingError:
        """The error of a loss or a gradient that is not finite.

        Args:
            clip_ids: the clips whose own numbers are not finite, or all of the batch.
            alone: whether other clips of the batch are finite, so that these clips are the cause.
        """
        advice = f"lower learning_rate (now {self.settings.learning_rate})"
        if alone:
            cause = f"other clips of the batch are not affected: check the audio of these, or {advice}"
        elif not self.check_at_once:
            cause = f"these are all clips of the batch: check their audio, {advice}, or set "
            cause += "clip_gradient_norm"
        else:
            cause = f"these are all clips of the batch, so no single one is the cause: {advice}, or set "
            cause += "clip_gradient_norm"
        return TrainingError(
            f"the {what} became {value} in epoch {self.epoch + 1}, with the clips {', '.join(clip_ids)}; "
            f"{cause}. The checkpoint of the best epoch so far and the last saved state are unchanged"
        )


def micro_batches(batch: Batch, size: int | None) -> list[Batch]:
    """A batch in parts of `size` examples; the last may be smaller. None: the whole batch."""
    size = size or len(batch.clip_ids)
    return [
        Batch(
            batch.clip_ids[start : start + size],
            batch.captions[start : start + size],
            batch.audio[start : start + size],
        )
        for start in range(0, len(batch.clip_ids), size)
    ]
