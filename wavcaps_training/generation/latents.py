"""Computes the latents and the embeddings of a training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, read_origin
from wavcaps_training.data import AudioFiles, Clip, UnreadableClips, readable_crop
from wavcaps_training.data.latents import AUDIO, DEVIATION, MEAN, NO_TEXT, TEXT, write_latents
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.models.sound_autoencoder import SoundAutoencoder, normalised
from wavcaps_training.settings.generation import AutoencoderTrainingSettings

CLIPS_AT_A_TIME = 8
NO_PROGRESS = NoProgress()


@dataclass(frozen=True)
class MadeLatents:
    """What was written.

    Attributes:
        clips: how many have a latent.
        unreadable: what is wrong with the others, by clip id.
        autoencoder_sha256: a hash of the autoencoder's weights.
        conditioned_by_sha256: a hash of the retrieval model's.
        shape: (channels, frames, bins) of a latent.
        width: of a condition.
    """

    clips: int
    unreadable: dict[str, str]
    autoencoder_sha256: str
    conditioned_by_sha256: str
    shape: tuple[int, ...]
    width: int


def make_latents(
    clips: Sequence[Clip],
    audio: AudioFiles,
    models: tuple[Path, Path],
    output: Path,
    device: str = "cpu",
    progress: Progress = NO_PROGRESS,
) -> MadeLatents:
    """Writes the latents and the embeddings of clips and of their captions.

    Of a longer clip, the part in the middle is taken; a shorter one is padded with silence.

    Args:
        clips: of the splits to train and to validate on.
        audio: where their audio is.
        models: the checkpoints of an autoencoder and of a retrieval model.
        output: the file to write.
        device: `cpu` or `cuda`.
        progress: counts clips.

    Raises:
        CheckpointError: a checkpoint is missing, damaged or of another task.
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    autoencoder, settings = load_checkpoint(models[0], device, task="autoencoder")
    encoder = Encoder(models[1], device)
    unreadable = UnreadableClips("clips to make latents of", len(clips), settings.max_unreadable_share)
    once = [Clip(clip.clip_id, ("",), clip.audio_path, clip.duration_s) for clip in clips]
    vectors = encoder.clips(once, audio, unreadable)
    moments: dict[str, tuple[Tensor, Tensor]] = {}
    heard = [clip for clip in once if clip.clip_id in vectors]
    for start in range(0, len(heard), CLIPS_AT_A_TIME):
        some = _read(heard[start : start + CLIPS_AT_A_TIME], audio, settings, unreadable)
        if some:
            moments.update(_moments(autoencoder, some, device))
        progress.update(start + len(some), len(heard))
    unreadable.warn()
    captions = list(dict.fromkeys(caption for clip in clips for caption in clip.captions))
    texts = torch.from_numpy(encoder.captions(["", *captions]))
    tensors = {
        MEAN: torch.stack([mean for mean, _ in moments.values()]),
        DEVIATION: torch.stack([deviation for _, deviation in moments.values()]),
        AUDIO: torch.stack([torch.from_numpy(vectors[clip_id]) for clip_id in moments]),
        TEXT: texts[1:].clone(),
        NO_TEXT: texts[0].clone(),
    }
    autoencoder_sha256 = read_origin(models[0]).weights_sha256 or ""
    made_by = {"autoencoder": autoencoder_sha256, "conditioned_by": encoder.weights_sha256}
    write_latents(output, tensors, {"clips": list(moments), "captions": captions, "made_by": made_by})
    return MadeLatents(
        clips=len(moments),
        unreadable=dict(unreadable.problems),
        autoencoder_sha256=autoencoder_sha256,
        conditioned_by_sha256=encoder.weights_sha256,
        shape=tuple(tensors[MEAN].shape[1:]),
        width=encoder.width,
    )


def _read(
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: AutoencoderTrainingSettings,
    unreadable: UnreadableClips,
) -> dict[str, Tensor]:
    """The waveforms of clips, (samples,) each, at the autoencoder's sample rate."""
    rate = settings.front_end.sample_rate
    crops = {clip.clip_id: readable_crop(clip, audio, settings.clip, rate, unreadable) for clip in clips}
    return {clip_id: torch.from_numpy(crop) for clip_id, crop in crops.items() if crop is not None}


@torch.no_grad()
def _moments(
    autoencoder: SoundAutoencoder, waveforms: dict[str, Tensor], device: str
) -> dict[str, tuple[Tensor, Tensor]]:
    sounds = torch.stack([normalised(waveform) for waveform in waveforms.values()]).to(device)
    mean, deviation = autoencoder.moments(autoencoder.log_mel(sounds))
    return dict(zip(waveforms, zip(mean.cpu(), deviation.cpu(), strict=True), strict=True))
