"""Hashes of three landmarks each, and clips laid out on one axis of time, so that many are handled at once.

An anchor and two of the four peaks that follow it, 2 to 64 frames later and at most 96 bins away: six hashes
a peak at most. Two unrelated real clips have the same hash by chance sixty times less often than with hashes
of two peaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wavcaps_assets.fingerprints.landmarks import BINS_APART, Landmarks

TARGETS = 4
NEAREST, FARTHEST = 2, 64
MOST_BINS = 96
# Knuth's multiplicative hash, for 64 bits.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
# Anchors at a time: some 50 MB.
ANCHORS = 1 << 17
# More frames between two clips than a hash spans.
GAP = FARTHEST + 1


@dataclass(frozen=True)
class Timeline:
    """Clips on one axis of time.

    Attributes:
        positions: of each landmark, the frame on this axis (int64), ascending.
        bins: of each landmark, its frequency bin (int64).
        starts: of each clip, the position of its first frame; one more at the end.
    """

    positions: NDArray[np.int64]
    bins: NDArray[np.int64]
    starts: NDArray[np.int64]

    def clips(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of the clips at some positions."""
        return np.searchsorted(self.starts, positions, "right") - 1


def lay_out(clips: Sequence[Landmarks]) -> Timeline:
    """Puts clips one after another, with a gap that no hash crosses."""
    lengths = np.array([len(clip) for clip in clips], np.int64)
    whole = np.concatenate([np.zeros(0, np.uint32), *clips]).astype(np.int64)
    frames = [int(clip[-1]) // BINS_APART + 1 if len(clip) else 0 for clip in clips]
    starts = np.concatenate([[0], np.cumsum(np.array(frames, np.int64) + GAP)])
    return Timeline(whole // BINS_APART + np.repeat(starts[:-1], lengths), whole % BINS_APART, starts)


def hashes(timeline: Timeline) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The hashes of all clips, and of each the position of its anchor; in order of position."""
    parts = [
        _hashes(timeline.positions, timeline.bins, first, min(first + ANCHORS, len(timeline.positions)))
        for first in range(0, len(timeline.positions), ANCHORS)
    ]
    empty = np.zeros(0, np.uint32), np.zeros(0, np.int64)
    keys, positions = zip(*(parts or [empty]), strict=True)
    return np.concatenate(keys), np.concatenate(positions)


def _hashes(
    positions: NDArray[np.int64], bins: NDArray[np.int64], first: int, last: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    anchors = np.arange(first, last)
    targets = _targets(positions, bins, anchors)
    keys = np.zeros((len(anchors), TARGETS * (TARGETS - 1) // 2), np.uint32)
    there = np.zeros(keys.shape, bool)
    with np.errstate(over="ignore"):
        codes = [_code(positions, bins, anchors, targets[:, place]) for place in range(TARGETS)]
        for place, (one, other) in enumerate(combinations(range(TARGETS), 2)):
            there[:, place] = targets[:, other] >= 0
            key = (
                (bins[anchors].astype(np.uint64) << np.uint64(40))
                + (codes[one] << np.uint64(20))
                + codes[other]
            )
            keys[:, place] = (key * MULTIPLIER) >> np.uint64(32)
    at = np.broadcast_to(positions[anchors][:, None], keys.shape)
    return keys[there], at[there]


def _targets(
    positions: NDArray[np.int64], bins: NDArray[np.int64], anchors: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The landmarks that follow each anchor, anchors × TARGETS; -1: none."""
    found = np.full((len(anchors), TARGETS), -1, np.int64)
    number = np.zeros(len(anchors), np.int64)
    places = np.arange(len(anchors))
    following = np.searchsorted(positions, positions[anchors] + NEAREST)
    while len(places):
        within = following < len(positions)
        places, following = places[within], following[within]
        within = positions[following] - positions[anchors[places]] <= FARTHEST
        places, following = places[within], following[within]
        near = np.abs(bins[following] - bins[anchors[places]]) <= MOST_BINS
        found[places[near], number[places[near]]] = following[near]
        number[places[near]] += 1
        wanting = number[places] < TARGETS
        places, following = places[wanting], following[wanting] + 1
    return found


def _code(
    positions: NDArray[np.int64],
    bins: NDArray[np.int64],
    anchors: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> NDArray[np.uint64]:
    """Where targets are, as seen from their anchors: frequency and time."""
    frequency = bins[targets] - bins[anchors] + MOST_BINS
    return (frequency * (FARTHEST + 1) + positions[targets] - positions[anchors]).astype(np.uint64)
