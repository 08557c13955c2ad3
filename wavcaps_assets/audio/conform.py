"""Gives a stream one rate and one number of channels, where the stream itself changes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from wavcaps_assets.audio.blocks import Samples
from wavcaps_assets.audio.limits import check_shape


def conformed(parts: Iterable[tuple[Samples, int]], rate: int, channels: int) -> Iterator[Samples]:
    """Converts parts of another rate or number of channels to those of the first part.

    Another number of channels is mixed to mono and copied to each channel, which keeps the mono mix that
    is stored.

    Args:
        parts: samples (frames × channels) and their rate (Hz).
        rate: of the result (Hz).
        channels: of the result.
    """
    resampler: soxr.ResampleStream | None = None
    current = rate
    for samples, part_rate in parts:
        if part_rate != current:
            if resampler is not None:
                yield _frames(resampler.resample_chunk(_nothing(channels), last=True), channels)
            check_shape(part_rate, samples.shape[1])
            current = part_rate
            resampler = (
                None
                if part_rate == rate
                else soxr.ResampleStream(part_rate, rate, channels, dtype="float32", quality="HQ")
            )
        mixed = _mixed(samples, channels)
        yield mixed if resampler is None else _frames(resampler.resample_chunk(mixed), channels)
    if resampler is not None:
        yield _frames(resampler.resample_chunk(_nothing(channels), last=True), channels)


def _mixed(samples: Samples, channels: int) -> Samples:
    if samples.shape[1] == channels:
        return samples
    return np.ascontiguousarray(
        np.broadcast_to(samples.mean(axis=1, dtype=np.float32)[:, None], (len(samples), channels))
    )


def _nothing(channels: int) -> Samples:
    return np.zeros((0, channels), dtype=np.float32)


def _frames(samples: Samples, channels: int) -> Samples:
    return samples.reshape(-1, channels)
