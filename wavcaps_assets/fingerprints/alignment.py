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


def align(clip: Landmarks, other: Landmarks, offset: int, least: float) -> Alignment | None:
    """Compares two clips.

    Args:
        offset: the frame of `clip` at which `other` begins; may be negative.
        least: the smallest agreement that is of interest (0 to 1). Most pairs have less, and are not compared
            at other offsets.

    Returns:
        The comparison; None: the clips agree less.
    """
    one: Codes = clip.astype(np.int64)
    two: Codes = other.astype(np.int64) + offset * BINS_APART
    if not len(one) or not len(two):
        return None
    # Only what overlaps at any of the offsets: a clip may be hours long.
    margin = (ELSEWHERE[-1] + 2) * BINS_APART
    one = one[np.searchsorted(one, two[0] - margin) : np.searchsorted(one, two[-1] + margin)]
    peaks, of = _agreement(one, two)
    if peaks < least * of or not peaks:
        return None
    elsewhere = 0.0
    for shift in ELSEWHERE:
        for way in (shift, -shift):
            others, of_others = _agreement(one, two + way * BINS_APART)
            if of_others >= FEWEST_PEAKS:
                elsewhere = max(elsewhere, others / of_others)
    return Alignment(peaks, peaks / of, elsewhere)


def _agreement(one: Codes, two: Codes) -> tuple[int, int]:
    """The peaks of `two` that are at most a frame and a bin from one of `one`, and of how many."""
    if not len(one) or not len(two):
        return 0, 0
    begin, end = max(one[0], two[0]) // BINS_APART, min(one[-1], two[-1]) // BINS_APART + 1
    one, two = (
        codes[slice(*np.searchsorted(codes, [begin * BINS_APART, end * BINS_APART]))] for codes in (one, two)
    )
    if not len(one) or not len(two):
        return 0, 0
    near = np.zeros(len(two), bool)
    for frame in (-1, 0, 1):
        lowest = two + (frame * BINS_APART - 1)
        place = np.minimum(np.searchsorted(one, lowest), len(one) - 1)
        near |= (one[place] >= lowest) & (one[place] <= lowest + 2)
    fewer = min(len(one), len(two))
    return min(int(near.sum()), fewer), fewer
