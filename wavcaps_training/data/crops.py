"""A crop of a clip; no more of its file is decoded."""

from __future__ import annotations

import math

import numpy as np
import soundfile
import soxr

from wavcaps_training.data.audio_files import AudioFiles, AudioReadError, StoreUnreachable
from wavcaps_training.data.clips import Clip
from wavcaps_training.data.unreadable import UnreadableClips
from wavcaps_training.settings.training import ClipSettings, Padding

BLOCK_FRAMES = 1 << 16
# One frame in this many is checked first, which is enough for nearly every clip that is not silent.
PROBED = 1000
# Full scale is 1. Decoders of lossy formats exceed it a little; integers stored as floats exceed it by far.
LOUDEST = 10.0


def read_crop(
    clip: Clip, audio: AudioFiles, settings: ClipSettings, sample_rate: int, position: float
) -> np.ndarray:
    """Reads one crop of a clip.

    Audio of another sample rate is resampled, and several channels are averaged. Audio in the store needs
    neither.

    Args:
        clip: the clip.
        audio: where its file is.
        settings: how long the crop is, and how a shorter clip is padded.
        sample_rate: the model's (Hz).
        position: where a longer clip is cropped: 0 at its start, 1 at its end.

    Returns:
        (samples,) float32, nominally in [-1, 1], `settings.seconds` long; shorter if the batch pads it.

    Raises:
        AudioReadError: the audio is missing, unreadable, empty, cut short or silent, or its samples are not
            finite or far beyond full scale; names the clip and its file.
    """
    wanted = round(settings.seconds * sample_rate)
    with audio.opening(clip) as opened:
        try:
            with soundfile.SoundFile(opened) as file:
                span = math.ceil(settings.seconds * file.samplerate)
                start = round(max(file.frames - span, 0) * position)
                file.seek(start)
                frames = file.read(span, dtype="float32", always_2d=True)
                rate, promised = file.samplerate, min(span, file.frames)
                silent = not (frames[::PROBED].any() or frames.any()) and _is_silent(file)
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioReadError.of(clip, audio, f"is unreadable ({error})") from error
    if not len(frames):
        raise AudioReadError.of(clip, audio, "holds no samples")
    if len(frames) < promised:
        raise AudioReadError.of(clip, audio, "is cut short")
    channels = frames.shape[1]
    # NumPy's mean over such a short axis takes as long as decoding does.
    samples: np.ndarray = (
        frames @ np.full(channels, 1 / channels, np.float32) if channels > 1 else frames[:, 0]
    )
    lowest, highest = float(frames.min()), float(frames.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise AudioReadError.of(clip, audio, "holds samples that are not finite")
    if max(-lowest, highest) > LOUDEST:
        raise AudioReadError.of(
            clip, audio, f"holds samples of up to {max(-lowest, highest):.3g}, where full scale is 1"
        )
    if silent:
        raise AudioReadError.of(clip, audio, "is silent from its start to its end")
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate)
    if settings.padding is Padding.BATCH:
        return samples[:wanted]
    if settings.padding is Padding.REPEAT:
        return np.resize(samples, wanted)
    if len(samples) >= wanted:
        return samples[:wanted]
    return np.pad(samples, (0, wanted - len(samples)))


def readable_crop(
    clip: Clip, audio: AudioFiles, settings: ClipSettings, sample_rate: int, unreadable: UnreadableClips
) -> np.ndarray | None:
    """The crop of a clip that evaluation takes, as `read_crop` returns it; None: it cannot be read.

    Args:
        unreadable: gets a clip that cannot be read.

    Raises:
        StoreUnreachable: the store cannot be read; no clip is at fault.
        AudioReadError: too many clips cannot be read.
    """
    try:
        return read_crop(clip, audio, settings, sample_rate, settings.evaluation_position)
    except StoreUnreachable:
        raise
    except AudioReadError as error:
        unreadable.add({clip.clip_id: str(error)})
        return None


def _is_silent(file: soundfile.SoundFile) -> bool:
    file.seek(0)
    return not any(block.any() for block in file.blocks(BLOCK_FRAMES))
