"""A second look at two clips that share hashes: do most of their peaks agree where the hashes say?

Two recordings of one alarm clock share hashes, since they have the same beeps, but not what is between the
beeps; and they share them at many offsets. So the peaks are compared at the offset that the hashes gave, and
at others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wavcaps_assets.fingerprints.landmarks import BINS_APART, Landmarks

Codes: TypeAlias = NDArray[np.int64]
# Other offsets to compare with (frames): from a tenth of a second to two seconds, with few common divisors.
ELSEWHERE = (6, 9, 13, 18, 25, 33, 42, 52, 63, 75, 88, 102, 117, 133)
# Offsets at which fewer peaks overlap say nothing.
FEWEST_PEAKS = 20
# A peak agrees with one that is at most a frame and a bin away.
NEIGHBOURS = [frame * BINS_APART + bin for frame in (-1, 0, 1) for bin in (-1, 0, 1)]


@dataclass(frozen=True)
class Alignment:
    """How two clips agree at an offset.

    Attributes:
        peaks: the peaks that agree.
        agreement: their share of the peaks of the clip that has fewer of them where both overlap (0 to 1).
        elsewhere: the largest such share at other offsets: of unrelated clips, of a steady tone, or of a beep
            that returns, about as large (0 to 1).
    """

    peaks: int
    agreement: float
    elsewhere: float


def align(clip: Landmarks, other: Landmarks, offset: int) -> Alignment:
    """Compares two clips.

    Args:
        offset: the frame of `clip` at which `other` begins; may be negative.
    """
    one: Codes = clip.astype(np.int64)
    two: Codes = other.astype(np.int64) + offset * BINS_APART
    # Only what overlaps at any of the offsets: a clip may be hours long.
    margin = (ELSEWHERE[-1] + 2) * BINS_APART
    one = one[(one >= two[0] - margin) & (one <= two[-1] + margin)] if len(two) else one
    near: Codes = np.unique(np.add.outer(NEIGHBOURS, one))
    peaks, agreement, _ = _agreement(one, near, two)
    shares = [
        share
        for shift in ELSEWHERE
        for moved in (two + shift * BINS_APART, two - shift * BINS_APART)
        for _, share, of in [_agreement(one, near, moved)]
        if of >= FEWEST_PEAKS
    ]
    return Alignment(peaks, agreement, max(shares, default=0.0))


def _agreement(one: Codes, near: Codes, two: Codes) -> tuple[int, float, int]:
    """The peaks of `two` that are near one of `one`, their share, and of how many peaks."""
    if not len(one) or not len(two):
        return 0, 0.0, 0
    begin, end = max(one[0], two[0]) // BINS_APART, min(one[-1], two[-1]) // BINS_APART
    within = [
        codes[np.searchsorted(codes, begin * BINS_APART) : np.searchsorted(codes, (end + 1) * BINS_APART)]
        for codes in (one, two)
    ]
    fewer = min(map(len, within))
    if not fewer:
        return 0, 0.0, 0
    place = np.minimum(np.searchsorted(near, within[1]), len(near) - 1)
    peaks = int((near[place] == within[1]).sum())
    return peaks, min(1.0, peaks / fewer), fewer
