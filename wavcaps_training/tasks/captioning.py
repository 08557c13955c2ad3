"""Audio captioning: a language model learns to describe a clip (section IV.B)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, distributed

from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.data import Batch
from wavcaps_training.evaluation.captioning import CaptionedClips, compare_captions
from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.captioner import Captioner, caption_loss
from wavcaps_training.settings.captioner import CaptionerTrainingSettings
from wavcaps_training.tasks.base import Part, Task
from wavcaps_training.tasks.gathering import is_distributed


class CaptioningTask(Task):
    """Teaches a captioner to predict each token of a caption from the ones before it (equation 4).

    In validation it also generates captions, and the best epoch is the one with the highest CIDEr-D. The
    paper and the released code select by SPIDEr, the mean of CIDEr-D and SPICE, which needs files that no
    package has (`evaluation.caption_scores.spice`).
    """

    selection = "cider_d"

    def __init__(self, model: Captioner, settings: CaptionerTrainingSettings) -> None:
        self.model: Captioner = model
        self.settings: CaptionerTrainingSettings = settings
        self.captioned = CaptionedClips()
        self.losses: list[tuple[float, int]] = []
        self._read_audio = model.read_audio

    @property
    def audio_network(self) -> AudioNetwork:
        return self.model.encoder.audio_enc

    def compile(self) -> None:
        self._read_audio = torch.compile(self.model.read_audio)

    def loss(self, batch: Batch) -> Tensor:
        return self._loss(self._memory(batch), batch)

    def weight(self, batch: Batch) -> int:
        """The number of tokens in its captions: the loss is the mean over them."""
        _, mask = self.model.tokenize(batch.captions)
        return int(mask.sum())

    def parts(self, batch: Batch) -> Iterator[Part]:
        """As in any task. Several processes are weighted by their tokens, as one process would do it."""
        share = over_mean_of_processes(self.weight(batch), self.model.decoder.device)
        for part in super().parts(batch):
            yield Part(part.loss * share, part.value * share)

    def _memory(self, batch: Batch) -> Tensor:
        """What the decoder attends to."""
        cached = batch.audio.ndim == 4
        return self._read_audio(batch.audio if cached else self.model.log_mel(batch.audio))

    def _loss(self, memory: Tensor, batch: Batch) -> Tensor:
        ids, mask = self.model.tokenize(batch.captions)
        logits = self.model.predict(memory, ids, mask)
        loss = caption_loss(logits, ids, mask, self.settings.model.label_smoothing)
        if (self.check_at_once or not self.model.training) and not torch.isfinite(loss):
            broken = (~logits.isfinite().flatten(1).all(dim=1)).tolist()
            affected = [clip for clip, is_broken in zip(batch.clip_ids, broken, strict=True) if is_broken]
            alone = 0 < len(affected) < len(batch.clip_ids)
            raise self.broken("loss", loss.item(), affected if alone else batch.clip_ids, alone=alone)
        return loss

    def validate(self, batch: Batch) -> None:
        """Adds a validation batch, and generates a caption for each clip that has none yet."""
        memory = self._memory(batch)
        self.losses.append((float(self._loss(memory, batch)), self.weight(batch)))
        rows = self.captioned.add_references(batch.clip_ids, batch.captions)
        if rows:
            self.captioned.add_captions([batch.clip_ids[row] for row in rows], self.model.write(memory[rows]))

    def validation_scores(self) -> dict[str, float]:
        """The mean loss per token, BLEU-1 to BLEU-4, ROUGE-L and METEOR (0 to 1), and CIDEr-D (0 to 10).

        Raises:
            ValueError: there was no validation batch.
        """
        captioned, self.captioned = self.captioned, CaptionedClips()
        losses, self.losses = self.losses, []
        scores = compare_captions(captioned.clips()).as_dict()
        loss = sum(loss * tokens for loss, tokens in losses) / sum(tokens for _, tokens in losses)
        return {"validation_loss": loss, **scores}

    def save(self, path: Path, manifest_sha256: str | None = None) -> None:
        save_checkpoint(path, self.model, self.settings, manifest_sha256, started_from=self.started_from)


def over_mean_of_processes(count: int, device: torch.device) -> float:
    """A number divided by its mean over all processes, which average their gradients."""
    if not is_distributed():
        return 1.0
    total = torch.tensor(count, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return count * distributed.get_world_size() / float(total)
