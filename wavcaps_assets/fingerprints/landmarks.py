"""The spectral peaks (landmarks) of a clip, which survive coding, resampling, gain, cuts and added sounds.

The sound at 16 kHz, mono, in Hann frames of 1024 samples every 256; a peak is the largest value among
11 frames × 15 frequency bins below 7 kHz, within 70 dB of the clip's loudest peak. Some 100 peaks a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from wavcaps_assets.audio.blocks import Samples
from wavcaps_assets.audio.decode import decoding

# A clip's peaks in order of time: frame × BINS_APART + frequency bin, in 32 bits.
Landmarks: TypeAlias = NDArray[np.uint32]

RATE = 16_000
FRAME, HOP = 1024, 256
FRAMES_A_SECOND = RATE / HOP
# Below 7 kHz, which 16 kHz files and narrow codecs still have.
BINS = 448
BINS_APART = 512
PEAK_FRAMES, PEAK_BINS = 11, 15
RANGE_DB = 70.0
# 37 hours.
MOST_FRAMES = 2**32 // BINS_APART
# Frames whose spectra are computed at a time: 1 MB, which stays in the processor's cache.
FRAMES_AT_A_TIME = 512
# Beyond that, a float file has garbage, whose power is no finite number.
LOUDEST_SAMPLE = 1e4
WINDOW = np.hanning(FRAME + 1)[:-1].astype(np.float32)


class TooLongToCompare(ValueError):
    """The clip has more frames than 32 bits can number."""


def landmarks_of_file(path: Path) -> Landmarks:
    """The landmarks of a file of any format.

    Raises:
        UnreadableAudio, EmptyAudio: as `audio.decode.decoding`.
        TooLongToCompare: it is longer than 37 hours.
    """
    with decoding(path) as decoded:
        return landmarks(decoded.blocks, decoded.sample_rate)


def landmarks(blocks: Iterable[Samples], sample_rate: int) -> Landmarks:
    """The landmarks of a clip, whose samples are read once and not kept.

    A gain does not change them. Samples that are NaN count as silence.

    Args:
        blocks: samples, frames × channels, or frames.
        sample_rate: of the blocks (Hz).

    Returns:
        Landmarks; empty for digital silence.

    Raises:
        TooLongToCompare: it is longer than 37 hours.
    """
    codes, powers, done = [], [], 0
    for peaks, power, frames in _peaks(_spectra(_at_16_khz(blocks, sample_rate))):
        codes.append(peaks + done * BINS_APART)
        powers.append(power)
        done += frames
        if done > MOST_FRAMES:
            raise TooLongToCompare(f"it is longer than {MOST_FRAMES / FRAMES_A_SECOND / 3600:.0f} hours")
    if not codes:
        return np.zeros(0, np.uint32)
    power = np.concatenate(powers)
    loud = power > power.max(initial=0) * 10 ** (-RANGE_DB / 10)
    return np.concatenate(codes)[loud].astype(np.uint32)


def _at_16_khz(blocks: Iterable[Samples], sample_rate: int) -> Iterator[Samples]:
    resampler = soxr.ResampleStream(sample_rate, RATE, 1, dtype="float32", quality="MQ")
    for block in blocks:
        mono = block if block.ndim == 1 else block.mean(axis=1, dtype=np.float32)
        # The sum of squares is not finite if a sample is not.
        if not float(np.dot(mono, mono)) < LOUDEST_SAMPLE**2:
            mono = np.clip(np.nan_to_num(mono), -LOUDEST_SAMPLE, LOUDEST_SAMPLE).astype(np.float32)
        yield resampler.resample_chunk(mono)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _spectra(signal: Iterable[Samples]) -> Iterator[NDArray[np.float32]]:
    """Power spectra, frames × BINS, of frames centred on every 256th sample."""
    held = [np.zeros(FRAME // 2, np.float32)]
    wanted = (FRAMES_AT_A_TIME - 1) * HOP + FRAME
    count = FRAME // 2
    for part in signal:
        held.append(part)
        count += len(part)
        if count >= wanted:
            joined = np.concatenate(held)
            while len(joined) >= wanted:
                yield _power(joined[:wanted])
                joined = joined[FRAMES_AT_A_TIME * HOP :]
            held, count = [joined], len(joined)
    joined = np.concatenate([*held, np.zeros(FRAME // 2, np.float32)])
    if len(joined) > FRAME:
        yield _power(joined)


def _power(samples: Samples) -> NDArray[np.float32]:
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    spectrum = np.fft.rfft(frames * WINDOW, axis=1)[:, :BINS]
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)


def _peaks(
    spectra: Iterable[NDArray[np.float32]],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], int]]:
    """The codes of the peaks of some frames, counted from the first of them, their power, and the frames."""
    around = PEAK_FRAMES // 2
    outside = np.full((around, BINS), -1, np.float32)
    held = outside
    for power in chain(spectra, [outside]):
        whole = np.concatenate([held, power])
        frames = len(whole) - 2 * around
        if frames > 0:
            middle = whole[around : around + frames]
            largest = _running_max(_running_max(whole, PEAK_FRAMES).T, PEAK_BINS, pad=True).T
            frame, frequency = np.nonzero((middle == largest) & (middle > 0))
            yield frame * BINS_APART + frequency, middle[frame, frequency], frames
            held = whole[frames:]
        else:
            held = whole


def _running_max(values: NDArray[np.float32], width: int, *, pad: bool = False) -> NDArray[np.float32]:
    """The largest of each `width` neighbouring rows; `pad`: for every row, of those that there are."""
    if pad:
        edge = np.full((width // 2, values.shape[1]), -1, np.float32)
        values = np.concatenate([edge, values, edge])
    rows, done = len(values) - width + 1, 1
    while 2 * done <= width:
        values = np.maximum(values[:-done], values[done:])
        done *= 2
    return np.maximum(values[:rows], values[width - done : width - done + rows])
