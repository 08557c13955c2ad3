"""Learning to make sound from the embedding of a clip or of a text (section IV.D)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from wavcaps_training.checkpoints.checkpoint import (
    load_checkpoint,
    load_weights,
    read_origin,
    save_checkpoint,
)
from wavcaps_training.data import Batch, Clip
from wavcaps_training.data.latents import GenerationInputs, LatentCache, LatentFile, LatentsError, unpacked
from wavcaps_training.models.latent_diffusion import LatentDiffusion
from wavcaps_training.settings.differences import differences
from wavcaps_training.settings.generation import Condition, GenerationTrainingSettings
from wavcaps_training.tasks.base import Task, TrainingError

# The scale of latents is that of the first clips; AudioLDM's is that of its first batch. One batch of a few
# seconds of sound was seen to be off by half.
SCALED_BY = 64
# The checkpoints that the protocol `paper` chooses from.
KEPT = "step_{step}.safetensors"


class GenerationTask(Task):
    """Teaches a network to predict the noise in a clip's latent (equation 5), or its velocity.

    Validation uses the moving average of the weights, with the same noise at the same steps each time. The
    best epoch is the one that explains the most of the variance of what is predicted.
    """

    selection = "explained"

    def __init__(self, model: LatentDiffusion, settings: GenerationTrainingSettings) -> None:
        self.model: LatentDiffusion = model
        self.settings: GenerationTrainingSettings = settings
        self.validated: list[tuple[float, float, int]] = []
        self.texts: dict[str, Tensor] = {}
        self.shape: tuple[int, ...] = settings.model.audio.latent_shape(settings.clip.seconds)

    def read_inputs(self, inputs: GenerationInputs | None, clips: Sequence[Clip]) -> None:
        """Takes the frozen autoencoder, and the latents and embeddings of the clips.

        Raises:
            TrainingError: there are none.
            LatentsError: they are not of this model; says what differs.
            CheckpointError: the autoencoder's checkpoint cannot be read.
        """
        if inputs is None:
            raise TrainingError("a latent diffusion model is trained on latents: materialize them first")
        latents = LatentFile(inputs.latents)
        self._check(inputs, latents)
        load_weights(
            self.model.autoencoder,
            load_checkpoint(inputs.autoencoder, task="autoencoder")[0].state_dict(),
            str(inputs.autoencoder),
        )
        self.model.no_condition.copy_(latents.no_text)
        self.cached = LatentCache(latents)
        self.texts = latents.texts()
        first = [clip.clip_id for clip in clips if clip.clip_id in latents.clips][:SCALED_BY]
        if not first:
            raise LatentsError(
                f"the latents {inputs.latents} have none of the train split's clips: materialize their asset "
                "again, with the same training manifest"
            )
        if self.settings.model.condition is Condition.TEXT:
            self._check_captions([caption for clip in clips for caption in clip.captions])
        moments = [latents.moments(clip_id) for clip_id in first]
        mean, deviation = (torch.stack(part) for part in zip(*moments, strict=True))
        self.model.set_scale(mean, deviation)
        if not (self.model.shift.isfinite() & self.model.scale.isfinite()).all():
            raise LatentsError(
                f"the latents {inputs.latents} have no scale: some are not finite, or all numbers of a "
                "channel are equal. Train the autoencoder again, and materialize the latents again"
            )

    def _check(self, inputs: GenerationInputs, latents: LatentFile) -> None:
        origin = read_origin(inputs.autoencoder)
        again = "materialize the latents again"
        if origin.settings.task != "autoencoder":
            raise LatentsError(f"{inputs.autoencoder} is a checkpoint of {origin.settings.task}")
        if origin.weights_sha256 != latents.made_by.autoencoder:
            raise LatentsError(f"the latents were made by another autoencoder than that given: {again}")
        other = differences(
            origin.settings.model.audio.model_dump(mode="json"),
            self.settings.model.audio.model_dump(mode="json"),
            "model.audio",
        )
        if other:
            raise LatentsError(
                f"the autoencoder is not the one of the settings: {'; '.join(other)}. Give the run the "
                "autoencoder's settings, or train it with another autoencoder"
            )
        if latents.shape != self.shape or latents.width != self.settings.model.condition_dim:
            raise LatentsError(
                f"the latents have the shape {latents.shape} and conditions of width {latents.width}, and "
                f"the settings say {self.shape} and {self.settings.model.condition_dim}: {again}, or set "
                "clip.seconds and model.condition_dim"
            )

    def compile(self) -> None:
        self.model.unet.compile()

    def loss(self, batch: Batch) -> Tensor:
        latent, condition = self._drawn(batch)
        dropped = torch.rand(len(condition), device=condition.device) < self.settings.condition_dropout
        condition = torch.where(dropped.unsqueeze(1), self.model.no_condition, condition)
        steps = self.settings.model.schedule.steps
        step = torch.randint(steps, (len(latent),), device=latent.device)
        losses = self.model.loss(latent, condition, torch.randn_like(latent), step)
        if self.check_at_once and not losses.isfinite().all():
            broken = (~losses.isfinite()).tolist()
            affected = [clip for clip, is_broken in zip(batch.clip_ids, broken, strict=True) if is_broken]
            alone = len(affected) < len(batch.clip_ids)
            raise self.broken("loss", losses.mean().item(), affected, alone=alone)
        return losses.mean()

    def _drawn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents that are drawn for the clips of a batch, and the conditions."""
        mean, deviation, audio = unpacked(batch.audio, self.shape)
        latent = self.model.scaled(mean + deviation * torch.randn_like(mean))
        return latent, self._condition(batch, audio)

    def _condition(self, batch: Batch, audio: Tensor) -> Tensor:
        if self.settings.model.condition is Condition.AUDIO:
            return audio
        self._check_captions(batch.captions)
        return torch.stack([self.texts[caption] for caption in batch.captions]).to(audio)

    def _check_captions(self, captions: Sequence[str]) -> None:
        unknown = next((caption for caption in captions if caption not in self.texts), None)
        if unknown is not None:
            raise LatentsError(
                f"the latents have no vector of the caption {unknown[:80]!r}, so they are of an earlier "
                "training manifest: materialize their asset again"
            )

    def validate(self, batch: Batch) -> None:
        mean, _, audio = unpacked(batch.audio, self.shape)
        latent, condition = self.model.scaled(mean), self._condition(batch, audio)
        generator = torch.Generator().manual_seed(self.settings.seed + len(self.validated))
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        steps, count = self.settings.model.schedule.steps, len(latent)
        step = ((torch.arange(count) + 0.5) / count * steps).long().to(latent.device)
        with self.model.ema.applied_to(self.model.unet):
            losses = self.model.loss(latent, condition, noise, step)
        # That of the noise is 1. That of the velocity depends on the latents', which may be less.
        power = float(self.model.target(latent, noise, step).square().mean())
        self.validated.append((float(losses.mean()), power, count))

    def validation_scores(self) -> dict[str, float]:
        """The mean squared error of what is predicted, and how much of its variance is explained (%)."""
        validated, self.validated = self.validated, []
        clips = sum(count for _, _, count in validated)
        loss = sum(loss * count for loss, _, count in validated) / clips
        power = sum(power * count for _, power, count in validated) / clips
        return {"validation_loss": loss, "explained": 100 * (1 - loss / power)}

    def after_step(self) -> None:
        self.model.ema.update(self.model.unet, self.settings.ema_decay)

    def keep_as(self, step: int) -> str | None:
        every = self.settings.keep_every_steps
        return KEPT.format(step=step) if every is not None and step % every == 0 else None

    def save(self, path: Path, manifest_sha256: str | None = None) -> None:
        save_checkpoint(path, self.model, self.settings, manifest_sha256, started_from=self.started_from)
