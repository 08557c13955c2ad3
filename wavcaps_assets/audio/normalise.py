"""One clip to FLAC, 32 kHz, mono (section IV: all clips are sampled at 32 kHz), with its measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from wavcaps_assets.audio.blocks import SAMPLE_RATE, Decoded, Samples
from wavcaps_assets.audio.decode import decoding
from wavcaps_assets.audio.limits import AudioLimits, EmptyAudio, TooLong, UnreadableAudio
from wavcaps_assets.audio.measures import Measures

__all__ = ["AudioFacts", "AudioLimits", "EmptyAudio", "TooLong", "UnreadableAudio", "normalise"]

# FLAC's own default, and FFmpeg's: level 5 of 0 to 8, which libsndfile counts from 0 to 1.
COMPRESSION_LEVEL = 5 / 8
DEFAULT_LIMITS = AudioLimits()


@dataclass(frozen=True)
class AudioFacts:
    """Measures of a clip, taken while it is normalised.

    Attributes:
        duration_s: of the stored audio (s).
        sample_rate: of the stored audio (Hz).
        original_sample_rate: of the decoded file (Hz).
        original_channels: of the decoded file.
        original_format: container and codec, such as `WAV/PCM_16` or `MP4/aac`.
        peak_dbfs: largest stored sample (dBFS); -inf for digital silence.
        rms_dbfs: root mean square of the stored samples (dBFS; a full-scale sine has -3.01);
            -inf for digital silence.
        clipped_share: share of the decoded samples, of all channels, at or beyond full scale (0 to 1).
        silence_share: share of the stored audio's 20 ms frames whose RMS level is below -60 dBFS (0 to 1).
        bandwidth_hz: the highest frequency (Hz) whose mean power lies within 60 dB of the strongest
            band's, over 1024-point Hann frames at 32 kHz; 0 for silence or a constant.
        samples_sha256: SHA-256 of the stored 16-bit samples, little-endian: equal for exact duplicates.
    """

    duration_s: float
    sample_rate: int
    original_sample_rate: int
    original_channels: int
    original_format: str
    peak_dbfs: float
    rms_dbfs: float
    clipped_share: float
    silence_share: float
    bandwidth_hz: float
    samples_sha256: str


def normalise(original: Path, target: Path, limits: AudioLimits = DEFAULT_LIMITS) -> AudioFacts:
    """Decodes a file, mixes it to mono, resamples it to 32 kHz and writes 16-bit FLAC.

    Works block by block: memory depends neither on the clip's length nor on its header. A cut file of a
    format that does not show it (WAV, MP3, AAC, WebM) gives the part that exists; other formats give an
    error. After an error, do not use `target`.

    Raises:
        UnreadableAudio: the file cannot be decoded, is cut or damaged, or has values that are not finite.
        EmptyAudio: it has no samples.
        TooLong: it is longer than `limits` allow.
        OSError: `original` cannot be read or `target` cannot be written.
    """
    with decoding(original) as decoded, _flac(target) as write:
        return _convert(decoded, write, limits)


def _convert(decoded: Decoded, write: Callable[[Any], None], limits: AudioLimits) -> AudioFacts:
    resampler = soxr.ResampleStream(decoded.sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    measures = Measures()
    frames, clipped = 0, 0
    for block in decoded.blocks:
        frames += len(block)
        if frames > limits.longest_s * decoded.sample_rate:
            raise TooLong(f"it is longer than {limits.longest_s / 3600:g} hours")
        clipped += _clipped(block, decoded.full_scale)
        write(measures.add(_finite(resampler.resample_chunk(_mono(block)))))
    write(measures.add(_finite(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))))
    if measures.frames == 0:
        raise EmptyAudio("it has no samples")
    measures.end()
    return AudioFacts(
        duration_s=measures.frames / SAMPLE_RATE,
        sample_rate=SAMPLE_RATE,
        original_sample_rate=decoded.sample_rate,
        original_channels=decoded.channels,
        original_format=decoded.format,
        peak_dbfs=measures.peak_dbfs,
        rms_dbfs=measures.rms_dbfs,
        clipped_share=clipped / (frames * decoded.channels),
        silence_share=measures.silence_share,
        bandwidth_hz=measures.bandwidth_hz,
        samples_sha256=measures.sha256,
    )


def _clipped(block: Samples, full_scale: float) -> int:
    """Number of samples of a block at or beyond full scale."""
    # The extremes show cheaply that most blocks have none; a NaN anywhere makes them NaN.
    low, high = float(block.min()), float(block.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UnreadableAudio("some samples are NaN or infinite")
    if -full_scale < low and high < full_scale:
        return 0
    return int(np.count_nonzero(np.abs(block) >= full_scale))


def _mono(block: Samples) -> Samples:
    # A sum that overflows is found after the filter.
    with np.errstate(over="ignore"):
        # numpy's mean takes thirty times as long over two columns.
        if block.shape[1] == 2:
            return (block[:, 0] + block[:, 1]) * np.float32(0.5)
        return block.mean(axis=1, dtype=np.float32)


def _finite(signal: Samples) -> Samples:
    if not np.isfinite(signal).all():
        raise UnreadableAudio("its samples are too large for 32-bit floats")
    return signal


@contextmanager
def _flac(target: Path) -> Iterator[Callable[[Any], None]]:
    """Opens a 16-bit FLAC file and gives the function that appends to it."""
    try:
        with soundfile.SoundFile(
            target,
            "w",
            SAMPLE_RATE,
            channels=1,
            subtype="PCM_16",
            format="FLAC",
            compression_level=COMPRESSION_LEVEL,
        ) as sink:
            yield sink.write
        _check_end(target)
    except soundfile.LibsndfileError as error:
        raise OSError(f"{target} cannot be written: {error.error_string}") from error


def _check_end(target: Path) -> None:
    """Raises LibsndfileError or OSError: the last frame of a FLAC file is not there.

    libsndfile does not say that the last block, which it writes on closing, found no space on the disk.
    """
    with soundfile.SoundFile(target) as written:
        if written.frames:
            written.seek(written.frames - 1)
            if not len(written.read(1)):
                raise OSError(f"{target} cannot be written to its end")
