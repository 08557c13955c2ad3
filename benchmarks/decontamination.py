"""A set of 400,000 clips is compared by sound with benchmarks of 40,000 clips; and a tenth with a tenth.

The clips are synthetic: spectral peaks at random places, 99 a second, in clips of 5 s, as in ESC-10.
Longer clips take longer: the set's by their hours, and a benchmark's longer ones are met by chance more
often. How often two unrelated hashes are equal is printed, next to what was measured with real clips.
Of 1,000 clips of the set, one has in it what a clip of the benchmark has: all of these must be found,
and no other pair may be called the same. A pool of clips repeats in the set, which does not change the
time.

Making the clips is not part of the time, and fingerprinting audio is measured by `fingerprints`. Each
of the two sizes runs in a process of its own. Seconds are of processor time, in one thread.

The limits: 7 minutes and 24 GB for the whole; and at most five times the tenth's time for each clip of
the set, which has ten times as many clips to be found in. The last line has the whole; the limit is the
peer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from wavcaps_assets.fingerprints.hashes import hashes, lay_out
from wavcaps_assets.fingerprints.index import HashIndex
from wavcaps_assets.fingerprints.landmarks import BINS, BINS_APART, FRAMES_A_SECOND, Landmarks
from wavcaps_assets.fingerprints.matching import SAME, MatchSettings, matches

CLIPS, BENCHMARK_CLIPS = 400_000, 40_000
SECONDS, PEAKS_A_SECOND = 5, 99
# Of these, the set is made.
POOL = 8_000
AT_A_TIME = 2_000
EVERY = 1_000
LIMIT_S, LIMIT_MB, MOST_GROWTH = 420.0, 24_000.0, 5.0
# In ESC-10, 11,318 pairs of hashes of different clips are equal, of 918,286² pairs.
MEASURED_CHANCE = 1.3e-8


def clips(number: int, seed: int) -> list[Landmarks]:
    """Clips of peaks at random places; low frequencies have more, as in real clips."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(number):
        size = SECONDS * PEAKS_A_SECOND
        frames = rng.integers(0, int(SECONDS * FRAMES_A_SECOND), size)
        bins = (BINS * rng.random(size) ** 1.6).astype(np.int64)
        made.append(np.unique(frames * BINS_APART + bins).astype(np.uint32))
    return made


@dataclass(frozen=True)
class Measured:
    """What one size took."""

    index_s: float
    search_s: float
    found: int
    review: int
    peak_mb: float


def compare(set_clips: int, benchmark_clips: int) -> Measured:
    """Makes an index of a benchmark and compares a set with it."""
    benchmark = clips(benchmark_clips, 1)
    pool = clips(min(POOL, set_clips), 2)
    started = time.process_time()
    index = HashIndex(benchmark[at : at + AT_A_TIME] for at in range(0, benchmark_clips, AT_A_TIME))
    index_s = time.process_time() - started
    search_s, found, review = 0.0, 0, 0
    for planted, batch in _batches(pool, benchmark, set_clips):
        started = time.process_time()
        found_now = list(matches(batch, index, benchmark, MatchSettings()))
        search_s += time.process_time() - started
        pairs = [(one.clip, one.indexed) for one in found_now if one.verdict == SAME]
        assert pairs == planted, f"planted {planted}, found {pairs}"
        found += len(pairs)
        review += len(found_now) - len(pairs)
    return Measured(index_s, search_s, found, review, own_peak_mb())


def _batches(
    pool: list[Landmarks], benchmark: list[Landmarks], number: int
) -> Iterator[tuple[list[tuple[int, int]], list[Landmarks]]]:
    """The set, some clips at a time; and which of them has which clip of the benchmark in it."""
    for at in range(0, number, AT_A_TIME):
        batch = [pool[one % len(pool)] for one in range(at, min(at + AT_A_TIME, number))]
        planted = [(place, (at + place) * 7 % len(benchmark)) for place in range(0, len(batch), EVERY)]
        for place, other in planted:
            batch[place] = np.union1d(batch[place], benchmark[other])
        yield planted, batch


def chance() -> float:
    """How often two hashes of different synthetic clips are equal."""
    one, other = (hashes(lay_out(clips(2_000, seed)))[0] for seed in (3, 4))
    values, counts = np.unique(one, return_counts=True)
    place = np.minimum(np.searchsorted(values, other), len(values) - 1)
    return float(counts[place][values[place] == other].sum()) / len(one) / len(other)


def main() -> None:
    print(f"chance of equal hashes: {chance():.1e}; of real clips: {MEASURED_CHANCE:.1e}")  # noqa: T201
    measured = []
    for size in ((CLIPS // 10, BENCHMARK_CLIPS // 10), (CLIPS, BENCHMARK_CLIPS)):
        one = in_own_process(compare, *size)
        measured.append(one)
        print(  # noqa: T201
            f"{size[0]:,} clips with {size[1]:,}: index {one.index_s:.1f} s, search {one.search_s:.1f} s, "
            f"{one.found} found and no other, "
            f"{one.review} for review, {one.peak_mb:.0f} MB"
        )
    tenth, whole = measured
    total, growth = whole.index_s + whole.search_s, whole.search_s / tenth.search_s / 10
    print(f"a clip of the set takes {growth:.1f} times as long with ten times the benchmark")  # noqa: T201
    report("decontamination", total, "s", "limit", LIMIT_S, whole.peak_mb)
    if total > LIMIT_S or whole.peak_mb > LIMIT_MB or growth > MOST_GROWTH:
        sys.exit(f"the limits: {LIMIT_S:.0f} s, {LIMIT_MB:.0f} MB, {MOST_GROWTH:.0f} times as long a clip")


if __name__ == "__main__":
    main()
