"""The index gives what counting all pairs of hashes gives."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from wavcaps_assets.fingerprints.hashes import FARTHEST, MOST_BINS, NEAREST, TARGETS, hashes, lay_out
from wavcaps_assets.fingerprints.index import PIECE, HashIndex
from wavcaps_assets.fingerprints.landmarks import BINS, BINS_APART, Landmarks


def clip(frames: int, seed: int, a_frame: float = 1.5) -> Landmarks:
    """Peaks at random places, about as many as real clips have."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(frames * BINS, int(frames * a_frame), replace=False)
    return np.sort(cells // BINS * BINS_APART + cells % BINS).astype(np.uint32)


def moved(landmarks: Landmarks, frames: int) -> Landmarks:
    return (landmarks.astype(np.int64) + frames * BINS_APART).astype(np.uint32)


def by_definition(landmarks: Landmarks) -> Counter[tuple[int, ...]]:
    """Anchor and two targets of each hash, one by one: frame, bin, two frequency steps, two time steps."""
    points = [divmod(int(code), BINS_APART) for code in landmarks]
    found: Counter[tuple[int, ...]] = Counter()
    for frame, frequency in points:
        targets = [
            (other - frequency, later - frame)
            for later, other in points
            if NEAREST <= later - frame <= FARTHEST and abs(other - frequency) <= MOST_BINS
        ][:TARGETS]
        for one, two in combinations(targets, 2):
            found[(frame, frequency, *one, *two)] += 1
    return found


def test_hashes_are_those_of_the_definition() -> None:
    one, two = clip(200, 1), clip(150, 2)
    timeline = lay_out([one, np.zeros(0, np.uint32), two])
    keys, positions = hashes(timeline)
    expected = [by_definition(one), by_definition(two)]
    assert len(keys) == sum(sum(found.values()) for found in expected)
    # Equal triples have equal keys, and others do not.
    assert len(set(keys.tolist())) == len({key[1:] for found in expected for key in found})
    assert Counter(timeline.clips(positions).tolist()) == {
        0: sum(expected[0].values()),
        2: sum(expected[1].values()),
    }


def test_scores_are_those_of_all_pairs() -> None:
    indexed = [clip(400, seed) for seed in range(6)]
    searched = [
        np.union1d(moved(indexed[2][::2], 77), clip(700, 20)),
        clip(500, 21),
        np.union1d(indexed[4][indexed[4] >= 200 * BINS_APART] - 200 * BINS_APART, clip(100, 22)),
        np.zeros(0, np.uint32),
    ]
    found = HashIndex([indexed[:4], indexed[4:]]).search(searched, least=3)
    triples = [by_definition(one) for one in searched]
    places: list[dict[tuple[int, ...], list[int]]] = [{} for _ in indexed]
    for number, two in enumerate(indexed):
        for key in by_definition(two):
            places[number].setdefault(key[1:], []).append(key[0])
    expected = {}
    for number in range(len(searched)):
        for other in range(len(indexed)):
            offsets: Counter[int] = Counter()
            for key in triples[number]:
                offsets.update(key[0] - frame for frame in places[other].get(key[1:], ()))
            best = max((offsets[at] + offsets[at + 1] for at in list(offsets)), default=0)
            if best >= 3:
                expected[number, other] = best
    pairs = zip(found.searched.tolist(), found.indexed.tolist(), strict=True)
    assert dict(zip(pairs, found.score.tolist(), strict=True)) == expected
    assert set(expected) == {(0, 2), (2, 4)}
    assert found.offset.tolist() == [77, -200]


def test_one_clip_in_hours_of_another() -> None:
    short = clip(300, 1)
    hours = clip(4 * PIECE, 2, a_frame=0.2)
    # Across the end of the first piece of the search.
    at = PIECE - 150
    found = HashIndex([[clip(300, 3), short]]).search([np.union1d(hours, moved(short, at))], least=10)
    assert (found.indexed.tolist(), found.offset.tolist()) == ([1], [at])


def test_hashes_at_very_many_places_are_left_out() -> None:
    beep = np.arange(0, 3000, 10, dtype=np.uint32) * BINS_APART + 100
    index = HashIndex([[beep, clip(300, 1)]], most_places=50)
    assert index.left_out > 250
    assert len(index.search([beep], least=3).score) == 0
    assert index.search([clip(300, 1)], least=3).indexed.tolist() == [1]


@pytest.mark.parametrize("clips", [[], [np.zeros(0, np.uint32)]])
def test_nothing_to_find(clips: list[Landmarks]) -> None:
    index = HashIndex([clips])
    assert index.clips == len(clips) and index.hashes == 0
    assert len(index.search([clip(300, 1), *clips], least=1).score) == 0
    assert len(index.search([], least=1).score) == 0
