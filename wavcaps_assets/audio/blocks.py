"""Decoded audio: blocks of samples whose size does not depend on a file's header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# Audio, frames × channels, with full scale at 1.
Samples: TypeAlias = NDArray[np.float32]

SAMPLE_RATE = 32_000
# 128 KiB: large enough that the cost of calls is small, small enough for a processor's cache.
BLOCK_SAMPLES = 1 << 15


@dataclass(frozen=True)
class Decoded:
    """A file opened for decoding.

    Attributes:
        format: container and codec, such as `WAV/PCM_16`.
        sample_rate: of the blocks (Hz).
        channels: of the blocks.
        blocks: each is valid until the next is requested.
        full_scale: the value from which a sample counts as clipped; default: the largest 16-bit value.
    """

    format: str
    sample_rate: int
    channels: int
    blocks: Iterator[Samples]
    full_scale: float = 32_767 / 32_768


def frames_per_block(sample_rate: int, channels: int) -> int:
    """Frames of a block that has at most `BLOCK_SAMPLES` samples before and after resampling."""
    return max(1, BLOCK_SAMPLES // max(channels, -(-SAMPLE_RATE // sample_rate)))


def in_blocks(parts: Iterable[Samples], frames: int) -> Iterator[Samples]:
    """Joins short parts and cuts long ones, so that every block except the last has `frames` frames."""
    held: list[Samples] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count >= frames:
            joined = np.concatenate(held)
            whole = count // frames * frames
            for start in range(0, whole, frames):
                yield joined[start : start + frames]
            held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)
