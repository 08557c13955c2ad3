"""Computes the latents and the embeddings of a training set."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, read_origin
from wavcaps_training.data import AudioFiles, Clip, UnreadableClips, readable_crop
from wavcaps_training.data.latents import AUDIO, NO_TEXT, TEXT, Moments, write_latents
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
        LatentsError: the disk is full, or a latent is not finite.
    """
    autoencoder, settings = load_checkpoint(models[0], device, task="autoencoder")
    encoder = Encoder(models[1], device)
    unreadable = UnreadableClips("clips to make latents of", len(clips), settings.max_unreadable_share)
    once = [Clip(clip.clip_id, ("",), clip.audio_path, clip.duration_s) for clip in clips]
    vectors = encoder.clips(once, audio, unreadable)
    heard = [clip for clip in once if clip.clip_id in vectors]
    shape = settings.model.audio.latent_shape(settings.clip.seconds)
    captions = list(dict.fromkeys(caption for clip in clips for caption in clip.captions))
    texts = torch.from_numpy(encoder.captions(["", *captions]))
    autoencoder_sha256 = read_origin(models[0]).weights_sha256 or ""
    made_by = {"autoencoder": autoencoder_sha256, "conditioned_by": encoder.weights_sha256}
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        moments = Moments(Path(scratch), len(heard), shape)
        for start in range(0, len(heard), CLIPS_AT_A_TIME):
            some = _read(heard[start : start + CLIPS_AT_A_TIME], audio, settings, unreadable)
            if some:
                moments.add(list(some), *_moments(autoencoder, list(some.values()), device))
            progress.update(min(start + CLIPS_AT_A_TIME, len(heard)), len(heard))
        unreadable.warn()
        tensors = {
            **moments.tensors(),
            AUDIO: torch.stack([torch.from_numpy(vectors[clip_id]) for clip_id in moments.clips]),
            TEXT: texts[1:].clone(),
            NO_TEXT: texts[0].clone(),
        }
        write_latents(output, tensors, {"clips": moments.clips, "captions": captions, "made_by": made_by})
    return MadeLatents(
        clips=len(moments.clips),
        unreadable=dict(unreadable.problems),
        autoencoder_sha256=autoencoder_sha256,
        conditioned_by_sha256=encoder.weights_sha256,
        shape=shape,
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
    autoencoder: SoundAutoencoder, waveforms: Sequence[Tensor], device: str
) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of the latents, (clips, channels, frames, bins)."""
    sounds = torch.stack([normalised(waveform) for waveform in waveforms]).to(device)
    mean, deviation = autoencoder.moments(autoencoder.log_mel(sounds))
    return mean.cpu(), deviation.cpu()
