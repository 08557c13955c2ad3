"""Audio-language retrieval: a contrastive loss on a batch of clips and captions (section IV.A)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.data import Batch, Clip
from wavcaps_training.evaluation.ranking import score_retrieval
from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.retrieval import FEATURES_NDIM, RetrievalModel
from wavcaps_training.settings.training import TrainingSettings
from wavcaps_training.tasks.base import Part, Task, micro_batches
from wavcaps_training.tasks.gathering import gathered
from wavcaps_training.tasks.gradient_caching import cached_parts
from wavcaps_training.tasks.losses import objective_loss


class RetrievalTask(Task):
    """Trains the two towers so that a clip and its caption are close to each other."""

    selection = "recall_sum"

    def __init__(self, model: RetrievalModel, settings: TrainingSettings) -> None:
        self.model: RetrievalModel = model
        self.settings: TrainingSettings = settings
        self.frozen_text: dict[str, Tensor] = {}
        self.validated: list[tuple[list[str], Tensor, Tensor]] = []
        self.losses: list[tuple[float, int]] = []
        self._embed_log_mel = self.model.embed_log_mel

    @property
    def audio_network(self) -> AudioNetwork:
        return self.model.audio_encoder.audio_enc

    def compile(self) -> None:
        self._embed_log_mel = torch.compile(self.model.embed_log_mel)

    def parts(self, batch: Batch) -> Iterator[Part]:
        size = self.settings.micro_batch_size
        if size is None or size >= len(batch.clip_ids):
            loss = self.loss(batch)
            yield Part(loss, loss.detach())
            return
        yield from cached_parts(
            self.model,
            micro_batches(batch, size),
            self.embed,
            lambda audio, text: self.contrast(audio, text, batch.clip_ids),
            [self.model.temp] if self.model.temp.requires_grad else [],
        )

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Unit vectors of a batch's clips and captions: both (batch, joint dim)."""
        if batch.audio.ndim == FEATURES_NDIM:
            audio = self.model.embed_audio(batch.audio)
        else:
            cached = self.settings.cache_log_mel
            audio = self._embed_log_mel(batch.audio if cached else self.model.log_mel(batch.audio))
        return audio, self.model.embed_text_features(self.text_features(batch.captions))

    def loss(self, batch: Batch) -> Tensor:
        return self.contrast(*self.embed(batch), batch.clip_ids)

    def contrast(self, audio: Tensor, text: Tensor, clip_ids: Sequence[str]) -> Tensor:
        """The loss of a batch; with `gather_negatives`, its negatives come from all processes."""
        if self.settings.gather_negatives:
            everything = gathered(audio, text, clip_ids)
            loss = objective_loss(self.settings.objective, *everything, self.model.temp)
        else:
            loss = objective_loss(self.settings.objective, audio, text, clip_ids, self.model.temp)
        if self.check_at_once and not torch.isfinite(loss):
            broken = ~torch.isfinite(audio).all(dim=1) | ~torch.isfinite(text).all(dim=1)
            affected = [clip for clip, is_broken in zip(clip_ids, broken.tolist(), strict=True) if is_broken]
            alone = 0 < len(affected) < len(clip_ids)
            raise self.broken("loss", loss.item(), affected if alone else clip_ids, alone=alone)
        return loss

    def prepare(self, clips: Sequence[Clip]) -> None:
        """Encodes all captions with a frozen text encoder.

        Always in the same order: the last bits of a caption's features depend on the other captions of its
        batch, and a resumed run must have the same features as one that was not interrupted.
        """
        if not self.settings.model.text.frozen:
            return
        captions = list(dict.fromkeys(caption for clip in clips for caption in clip.captions))
        for start in range(0, len(captions), self.settings.batch_size):
            batch = captions[start : start + self.settings.batch_size]
            self.frozen_text.update(zip(batch, self.model.text_encoder(batch), strict=True))

    def text_features(self, captions: Sequence[str]) -> Tensor:
        """The text encoder's features of captions; those of a frozen one were computed in `prepare`."""
        if not self.settings.model.text.frozen:
            return self.model.text_encoder(captions)
        return torch.stack([self.frozen_text[caption] for caption in captions])

    def validate(self, batch: Batch) -> None:
        audio, text = self.embed(batch)
        loss = objective_loss(self.settings.objective, audio, text, batch.clip_ids, self.model.temp)
        self.losses.append((float(loss), len(batch.clip_ids)))
        self.validated.append((batch.clip_ids, audio.float().cpu(), text.float().cpu()))

    def validation_scores(self) -> dict[str, float]:
        clip_ids = [clip_id for ids, _, _ in self.validated for clip_id in ids]
        audio = torch.cat([embedded for _, embedded, _ in self.validated]).numpy()
        text = torch.cat([embedded for _, _, embedded in self.validated]).numpy()
        loss = sum(loss * count for loss, count in self.losses) / sum(count for _, count in self.losses)
        self.validated.clear()
        self.losses.clear()
        # A clip with several captions occurs once for each; the first counts, as in the released code.
        places = {clip_id: place for place, clip_id in reversed(list(enumerate(clip_ids)))}
        clips = {clip_id: row for row, clip_id in enumerate(sorted(places, key=places.__getitem__))}
        chosen = audio[[places[clip_id] for clip_id in clips]]
        scores = score_retrieval(chosen, text, np.array([clips[clip_id] for clip_id in clip_ids]))
        return {
            "validation_loss": loss,
            "recall_at_1": scores.mean_recall_at(1),
            "recall_at_5": scores.mean_recall_at(5),
            "recall_at_10": scores.mean_recall_at(10),
            "recall_sum": scores.recall_sum,
        }

    def save(self, path: Path, manifest_sha256: str | None = None) -> None:
        save_checkpoint(path, self.model, self.settings, manifest_sha256, started_from=self.started_from)
