"""One clip to FLAC, 32 kHz, mono (section IV: all clips are sampled at 32 kHz), with its measures."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 32_000
BLOCK_FRAMES = 1 << 16
FULL_SCALE = 32_767


class UnreadableAudio(ValueError):
    """The file holds no audio that can be decoded."""


class EmptyAudio(ValueError):
    """The file can be decoded, and holds no samples."""


@dataclass(frozen=True)
class AudioFacts:
    """What was measured while a clip was normalised. Levels in dBFS; -inf for digital silence."""

    duration_s: float
    sample_rate: int
    original_sample_rate: int
    original_channels: int
    peak_dbfs: float
    rms_dbfs: float
    samples_sha256: str


def normalise(original: Path, target: Path) -> AudioFacts:
    """Decodes a file, mixes it to mono, resamples it to 32 kHz and writes 16-bit FLAC.

    Works block by block: memory does not grow with the clip's length.

    Raises:
        UnreadableAudio: the file cannot be decoded, or holds values that are no numbers.
        EmptyAudio: it has no samples.
    """
    try:
        with soundfile.SoundFile(original) as source:
            return _convert(source, target)
    except soundfile.LibsndfileError as error:
        raise UnreadableAudio(
            str(error.error_string).strip() or "no audio format that can be decoded"
        ) from error


def _convert(source: soundfile.SoundFile, target: Path) -> AudioFacts:
    rate, channels = source.samplerate, source.channels
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    digest = hashlib.sha256()
    frames, peak, energy = 0, 0, 0.0
    with soundfile.SoundFile(target, "w", SAMPLE_RATE, 1, subtype="PCM_16", format="FLAC") as sink:
        while True:
            block = source.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
            last = len(block) == 0
            mono = block.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                raise UnreadableAudio("its samples are not all numbers")
            samples = np.rint(np.clip(resampler.resample_chunk(mono, last=last), -1, 1) * FULL_SCALE)
            whole = samples.astype(np.int16)
            if len(whole):
                sink.write(whole)
                digest.update(whole.tobytes())
                frames += len(whole)
                peak = max(peak, int(np.abs(samples).max()))
                energy += float(np.square(samples, dtype=np.float64).sum())
            if last:
                break
    if frames == 0:
        raise EmptyAudio("it has no samples")
    return AudioFacts(
        duration_s=frames / SAMPLE_RATE,
        sample_rate=SAMPLE_RATE,
        original_sample_rate=rate,
        original_channels=channels,
        peak_dbfs=_dbfs(peak),
        rms_dbfs=_dbfs(math.sqrt(energy / frames)),
        samples_sha256=digest.hexdigest(),
    )


def _dbfs(amplitude: float) -> float:
    return 20 * math.log10(amplitude / FULL_SCALE) if amplitude else -math.inf
