"""A set of 400,000 clips is compared by embeddings with a benchmark of 40,000; and a tenth with a tenth.

    python -m benchmarks.similar_embeddings 50000

takes as many clips of the set for the whole: the time grows with the pairs, so that the rest can be computed.

The embeddings are random, 1,024 numbers each, as CLAP models have; a pool of them repeats in the set, which
does not change the time. Of the benchmark's clips, one in a hundred is nearly a clip of the pool: of these,
all must be found, as many of each as are listed, and no others. Seconds are of processor time, in all
threads; reading the embeddings from the store is not part of them.

The limits: 2 GB; a pair of the whole takes at most 1.5 times as long as one of the tenth.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from wavcaps_assets.tables import BENCHMARK_CLIPS
from wavcaps_training.evaluation.near_duplicates import (
    SET_CLIPS,
    Matrix,
    SimilaritySettings,
    near_duplicates,
)

CLIPS, OF_BENCHMARK, TENTH = 400_000, 40_000, 10
WIDTH, POOL_BATCHES, EVERY = 1_024, 8, 100
NOISE = 0.1
LIMIT_MB, MOST_GROWTH = 2_000.0, 1.5


@dataclass(frozen=True)
class Measured:
    """What one size took."""

    pairs: int
    seconds: float
    cpu_s: float
    mb: float

    @property
    def nanoseconds(self) -> float:
        """Of processor time, for a pair."""
        return self.cpu_s / self.pairs * 1e9


def compare(clips: int, of_benchmark: int) -> Measured:
    rng = np.random.default_rng(3)
    pool = rng.standard_normal((POOL_BATCHES * SET_CLIPS, WIDTH), np.float32)
    theirs = rng.standard_normal((of_benchmark, WIDTH), np.float32)
    planted = range(0, of_benchmark, EVERY)
    theirs[::EVERY] = pool[: len(planted)] + NOISE * theirs[::EVERY]
    names = [f"esc50-{number}" for number in range(of_benchmark)]
    columns = {field.name: pa.nulls(of_benchmark, field.type) for field in BENCHMARK_CLIPS.arrow}
    constant = {"clip_id": names, "benchmark": ["esc50"] * of_benchmark, "split": ["test"] * of_benchmark}
    own = pa.table(
        {"clip_id": [f"freesound-{number}" for number in range(clips)], "source": ["freesound"] * clips}
    )

    def batches() -> Iterator[pa.Table]:
        for at in range(0, clips, SET_CLIPS):
            ids = own.column("clip_id").slice(at, SET_CLIPS)
            first = at % len(pool)
            yield _table(ids, pool[first : first + len(ids)])

    settings = SimilaritySettings()
    benchmark = pa.table(columns | constant)
    started, cpu = time.perf_counter(), time.process_time()
    found = near_duplicates(batches, own, benchmark, _table(pa.array(names), theirs), settings)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    times = [len(range(place, clips, len(pool))) for place in range(len(planted))]
    expected = sum(min(number, settings.most_pairs) for number in times)
    listed = set(found.column("benchmark_clip_id").to_pylist())
    assert len(found) == expected and listed == {names[place] for place in planted}
    return Measured(clips * of_benchmark, seconds, cpu_s, own_peak_mb())


def _table(names: pa.Array, matrix: Matrix) -> pa.Table:
    offsets = np.arange(0, matrix.size + 1, WIDTH, dtype=np.int32)
    return pa.table({"clip_id": names, "embedding": pa.ListArray.from_arrays(offsets, matrix.ravel())})


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else CLIPS
    measured = []
    for size in ((CLIPS // TENTH, OF_BENCHMARK // TENTH), (clips, OF_BENCHMARK)):
        one = in_own_process(compare, *size)
        measured.append(one)
        print(  # noqa: T201
            f"{size[0]:,} clips with {size[1]:,}: {one.seconds:.1f} s, {one.cpu_s:.1f} s of CPU, "
            f"{one.nanoseconds:.2f} ns a pair, {one.mb:,.0f} MB",
            flush=True,
        )
    tenth, whole = measured
    if clips < CLIPS:
        extrapolated = whole.cpu_s * CLIPS / clips
        print(f"{CLIPS:,} clips with {OF_BENCHMARK:,}: {extrapolated:.0f} s of CPU, extrapolated")  # noqa: T201
    report("similar_embeddings", whole.nanoseconds, "ns a pair", "the tenth", tenth.nanoseconds, whole.mb)
    if whole.mb > LIMIT_MB or whole.nanoseconds > MOST_GROWTH * tenth.nanoseconds:
        sys.exit(f"the limits: {LIMIT_MB:,.0f} MB, {MOST_GROWTH} times as long for a pair")


if __name__ == "__main__":
    main()
