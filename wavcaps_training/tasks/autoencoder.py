"""Learning to compress spectrograms, for a latent diffusion model that has no released autoencoder."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.data import Batch, LogMelCache
from wavcaps_training.models.sound_autoencoder import SoundAutoencoder, normalised
from wavcaps_training.settings.generation import AutoencoderTrainingSettings
from wavcaps_training.tasks.base import Task


class AutoencoderTask(Task):
    """Trains an autoencoder by the mean absolute error of the spectrogram, and the latent's divergence.

    AudioLDM's own training adds an adversarial loss, which this one does not have.
    """

    selection = "explained"

    def __init__(self, model: SoundAutoencoder, settings: AutoencoderTrainingSettings) -> None:
        self.model: SoundAutoencoder = model
        self.settings: AutoencoderTrainingSettings = settings
        self.validated: list[tuple[float, float, float, int]] = []
        if settings.cache_log_mel:
            front_end = deepcopy(model.log_mel)
            self.cached = LogMelCache(lambda waveform: front_end(normalised(waveform[0]).unsqueeze(0)))

    def compile(self) -> None:
        self.model.vae.compile()

    def loss(self, batch: Batch) -> Tensor:
        log_mel = self._part(self._log_mel(batch))
        mean, deviation = self.model.moments(log_mel)
        decoded = self.model.decode(mean + deviation * torch.randn_like(mean))
        return self._error(decoded, log_mel) + self.settings.divergence_weight * divergence(mean, deviation)

    def _log_mel(self, batch: Batch) -> Tensor:
        if self.cached is not None:
            return batch.audio
        return self.model.log_mel(torch.stack([normalised(waveform) for waveform in batch.audio]))

    def _part(self, log_mel: Tensor) -> Tensor:
        """A random part of each spectrogram."""
        frames = self.settings.part_frames
        if frames is None:
            return log_mel
        starts = torch.randint(log_mel.shape[2] - frames + 1, (len(log_mel),)).tolist()
        return torch.stack(
            [one[:, start : start + frames] for one, start in zip(log_mel, starts, strict=True)]
        )

    def _error(self, decoded: Tensor, log_mel: Tensor) -> Tensor:
        return (decoded - log_mel).abs().mean() / self.settings.model.audio.mel_std

    def validate(self, batch: Batch) -> None:
        log_mel = self._log_mel(batch)
        mean, deviation = self.model.moments(log_mel)
        decoded = self.model.decode(mean)
        loss = self._error(decoded, log_mel) + self.settings.divergence_weight * divergence(mean, deviation)
        squares = float((decoded - log_mel).square().mean())
        self.validated.append((float(loss), squares, float(log_mel.var()), len(batch.clip_ids)))

    def validation_scores(self) -> dict[str, float]:
        """The loss, and how much of the spectrogram's variance is explained (%)."""
        validated, self.validated = self.validated, []
        clips = sum(count for *_, count in validated)
        loss, squares, variance = (
            sum(part[place] * part[3] for part in validated) / clips for place in range(3)
        )
        return {"validation_loss": loss, "explained": 100 * (1 - squares / variance)}

    def save(self, path: Path, manifest_sha256: str | None = None) -> None:
        save_checkpoint(path, self.model, self.settings, manifest_sha256, started_from=self.started_from)


def divergence(mean: Tensor, deviation: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of latents from a standard normal distribution, for each element."""
    return 0.5 * (mean.square() + deviation.square() - 1 - 2 * deviation.clamp(min=1e-10).log()).mean()
