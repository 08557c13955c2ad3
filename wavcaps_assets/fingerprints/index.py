"""An index of the hashes of some clips, and the search for clips that share hashes with other clips.

All indexed clips lie on one axis of time. A hash leads to its places there by one look into a table of
2^24 to 2^28 numbers. So the time of a search grows with the number of hashes that are looked up, and the
memory with the number of those that are indexed. Equal hashes at one offset between two clips are counted:
the score is the most in two neighbouring offsets, since the same sound is rarely cut into frames at the same
samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wavcaps_assets.fingerprints.hashes import Timeline, hashes, lay_out
from wavcaps_assets.fingerprints.landmarks import FRAMES_A_SECOND, Landmarks

# A hash that is found at more places is not looked up: it is that of a tone, or of a beep, and says little.
MOST_PLACES = 256
LEAST_BITS, MOST_BITS = 24, 28
# A long clip is searched in pieces; those that overlap by a minute, so that no match of a minute is divided.
PIECE, OVERLAP = int(600 * FRAMES_A_SECOND), int(60 * FRAMES_A_SECOND)
# Equal hashes whose offsets are counted at a time, and the size of the table that counts them roughly.
HITS = 1 << 18
ROUGH = 1 << 19
# Offsets that one number of the rough table covers: 2^3.
OFFSET_BITS = 3
# More than the frames of a clip: offsets are counted from here.
MOST_OFFSET = 1 << 23
MULTIPLIER = np.int64(0x9E3779B97F4A7C1)


@dataclass(frozen=True)
class Candidates:
    """Pairs of clips that share hashes at one offset; arrays of equal length.

    Attributes:
        searched: the number of the clip that was searched for.
        indexed: the number of the clip in the index.
        score: equal hashes, in two neighbouring offsets.
        offset: the frame of the searched clip at which the indexed clip begins; negative: before it.
    """

    searched: NDArray[np.int64]
    indexed: NDArray[np.int64]
    score: NDArray[np.int64]
    offset: NDArray[np.int64]


class HashIndex:
    """The places of every hash of some clips.

    Args:
        batches: the clips, some thousands at a time, so that their timelines need not exist at once.
        most_places: a hash at more places is left out of searches.
    """

    def __init__(self, batches: Iterable[Sequence[Landmarks]], most_places: int = MOST_PLACES) -> None:
        self._starts, packed = _packed(lay_out(batch) for batch in batches)
        packed.sort()
        self.hashes = len(packed)
        bits = min(MOST_BITS, max(LEAST_BITS, int(self.hashes).bit_length() + 1))
        self._shift = np.uint32(32 - bits)
        self._first = _firsts(packed, bits)
        self._places = packed.astype(np.uint32)
        self._most_places = most_places

    @property
    def clips(self) -> int:
        """The number of clips."""
        return len(self._starts) - 1

    @property
    def left_out(self) -> int:
        """How many hashes are left out of searches, since they are at too many places."""
        number = np.diff(self._first)
        return int(number[number > self._most_places].sum())

    def search(self, clips: Sequence[Landmarks], least: int) -> Candidates:
        """The indexed clips that share at least `least` hashes with one of the clips at one offset."""
        return self.search_hashes(*_looked_up(lay_out(clips)), least=least)

    def search_hashes(
        self, keys: NDArray[np.uint32], clip: NDArray[np.int64], frame: NDArray[np.int64], *, least: int
    ) -> Candidates:
        """As `search`, of hashes that exist already.

        Args:
            keys: the hashes of some clips, clip by clip.
            clip: the number of each hash's clip, ascending.
            frame: the frame of each hash in its clip, ascending within a clip.
            least: the smallest score.
        """
        bucket = keys >> self._shift
        first = self._first[bucket]
        number = self._first[bucket + np.uint32(1)] - first
        number[number > self._most_places] = 0
        found = [
            self._best(clip[chosen], frame[chosen], first[chosen], number[chosen], least)
            for chosen in _groups(clip, frame, number)
        ]
        return _best_offsets(found)

    def _best(
        self,
        clip: NDArray[np.int64],
        frame: NDArray[np.int64],
        first: NDArray[np.uint32],
        number: NDArray[np.uint32],
        least: int,
    ) -> Candidates:
        """The pairs of some clips, with one row for each offset that has a score."""
        which = np.repeat(np.arange(len(number)), number)
        ends = np.cumsum(number, dtype=np.int64)
        places = self._places[np.arange(len(which)) + np.repeat(first - (ends - number), number)].astype(
            np.int64
        )
        owner = clip[which]
        # Clips lie apart on this axis only if they belong to different searched clips.
        diagonal = places - frame[which] + MOST_OFFSET + ((owner - clip[:1]) << 34)
        likely = _crowded(diagonal, least)
        owner, place, at = owner[likely], places[likely], frame[which[likely]]
        indexed = np.searchsorted(self._starts, place, "right") - 1
        offset = at - (place - self._starts[indexed])
        order = np.lexsort((offset, indexed, owner))
        return _scores(owner[order], indexed[order], offset[order], least)


def _packed(timelines: Iterable[Timeline]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The starts of all clips on one axis, and hash and place of every hash in 64 bits."""
    starts, packed, done = [], [], 0
    for timeline in timelines:
        keys, positions = hashes(timeline)
        packed.append((keys.astype(np.uint64) << np.uint64(32)) | (positions + done).astype(np.uint64))
        starts.append(timeline.starts[:-1] + done)
        done += int(timeline.starts[-1])
        if done >= 2**32:
            raise ValueError("more than 19,000 hours cannot be in one index: compare with less at a time")
    empty = np.zeros(0, np.uint64)
    return np.concatenate([*starts, [done]]).astype(np.int64), np.concatenate([empty, *packed])


def _firsts(packed: NDArray[np.uint64], bits: int) -> NDArray[np.uint32]:
    """Where the hashes with the same first bits begin, for each value of these bits, and the end."""
    firsts = np.zeros((1 << bits) + 1, np.uint32)
    for at in range(0, len(packed), 1 << 22):
        bucket = (packed[at : at + (1 << 22)] >> np.uint64(64 - bits)).astype(np.int64)
        number = np.bincount(bucket - bucket[0]).astype(np.uint32)
        firsts[bucket[0] + 1 : bucket[-1] + 2] += number
    np.cumsum(firsts, out=firsts)
    return firsts


def _looked_up(timeline: Timeline) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    keys, positions = hashes(timeline)
    clip = timeline.clips(positions)
    return keys, clip, positions - timeline.starts[clip]


def _groups(clip: NDArray[np.int64], frame: NDArray[np.int64], number: NDArray[np.uint32]) -> Iterator[slice]:
    """Parts of the hashes, of whole clips or of a piece of one, with some `HITS` places each."""
    ends = np.concatenate([[0], np.cumsum(number, dtype=np.int64)])
    edges = [0, *(np.flatnonzero(np.diff(clip)) + 1).tolist(), len(clip)]
    begin = 0
    for one, other in pairwise(edges):
        if other > one and frame[other - 1] - frame[one] > PIECE:
            if begin < one:
                yield slice(begin, one)
            yield from _pieces(frame, one, other)
            begin = other
        elif ends[other] - ends[begin] > HITS:
            yield slice(begin, other)
            begin = other
    if begin < len(clip):
        yield slice(begin, len(clip))


def _pieces(frame: NDArray[np.int64], begin: int, end: int) -> Iterator[slice]:
    own = frame[begin:end]
    for at in range(0, int(own[-1]) + 1, PIECE - OVERLAP):
        one, other = np.searchsorted(own, [at, at + PIECE])
        yield slice(begin + int(one), begin + int(other))


def _crowded(diagonal: NDArray[np.int64], least: int) -> NDArray[np.intp]:
    """Those that may have `least` equals or neighbours; some do not."""
    kept = np.zeros(len(diagonal), bool)
    # Two neighbouring offsets fall into one number of the first table, or of the second.
    for phase in (0, 1 << (OFFSET_BITS - 1)):
        rough = (((diagonal + phase) >> OFFSET_BITS) * MULTIPLIER >> np.int64(20)) & np.int64(ROUGH - 1)
        kept |= np.bincount(rough, minlength=ROUGH)[rough] >= least
    return np.flatnonzero(kept)


def _scores(
    owner: NDArray[np.int64], indexed: NDArray[np.int64], offset: NDArray[np.int64], least: int
) -> Candidates:
    """Counts equal rows of sorted arrays, and those of the next offset."""
    new = np.ones(len(owner), bool)
    new[1:] = (owner[1:] != owner[:-1]) | (indexed[1:] != indexed[:-1]) | (offset[1:] != offset[:-1])
    at = np.flatnonzero(new)
    count = np.diff(np.concatenate([at, [len(owner)]]))
    owner, indexed, offset = owner[at], indexed[at], offset[at]
    follows = np.zeros(len(at), bool)
    follows[:-1] = (owner[1:] == owner[:-1]) & (indexed[1:] == indexed[:-1]) & (offset[1:] == offset[:-1] + 1)
    score = count + np.where(follows, np.concatenate([count[1:], [0]]), 0) if len(at) else count
    # The better of the two neighbours.
    offset = offset + (follows & (score - count > count))
    enough = score >= least
    return Candidates(owner[enough], indexed[enough], score[enough], offset[enough])


def _best_offsets(found: Sequence[Candidates]) -> Candidates:
    """Of each pair, the offset with the highest score."""
    empty = np.zeros(0, np.int64)
    columns = [
        np.concatenate([empty, *(getattr(one, name) for one in found)])
        for name in ("searched", "indexed", "score", "offset")
    ]
    searched, indexed, score, offset = columns
    order = np.lexsort((offset, -score, indexed, searched))
    searched, indexed = searched[order], indexed[order]
    first = np.ones(len(order), bool)
    first[1:] = (searched[1:] != searched[:-1]) | (indexed[1:] != indexed[:-1])
    return Candidates(searched[first], indexed[first], score[order][first], offset[order][first])
