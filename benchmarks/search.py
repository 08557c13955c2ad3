"""How fast an index of WavCaps' size is searched: 400,000 vectors of width 1024, mapped from a file.

The peer is the product with the whole array in memory, and a sort of all rows. Both are exact and give the
same rows. The limits: no slower than the peer, up to noise, and at most 50 MB of memory of its own; mapped
pages, which the system can take back, are not counted.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.result import report
from wavcaps_training.search.vectors import mapped_vectors, nearest

ROWS, WIDTH, RESULTS, ROUNDS = 400_000, 1024, 10, 5
MOST_MB, SLACK = 50.0, 1.1
BLOCK = 20_000


def blocks() -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    for _ in range(0, ROWS, BLOCK):
        block = generator.standard_normal((BLOCK, WIDTH), np.float32)
        yield block / np.linalg.norm(block, axis=1, keepdims=True)


def fastest(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def peak_mb(work: Callable[[], object]) -> float:
    """The memory that arrays take at most while something is computed (MB)."""
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wavcaps-bench-") as folder:
        started = time.perf_counter()
        vectors = mapped_vectors(Path(folder), "sounds", (ROWS, WIDTH), blocks())
        written_s = time.perf_counter() - started
        query = np.array(vectors[123_456]) + np.random.default_rng(1).standard_normal(WIDTH, np.float32) / 64
        every = np.ones(ROWS, bool)
        mine = fastest(lambda: nearest(vectors, query, RESULTS, every))
        peak = peak_mb(lambda: nearest(vectors, query, RESULTS, every))
        rows, _ = nearest(vectors, query, RESULTS, every)
        whole = np.array(vectors)
        plain = fastest(lambda: np.argsort(-(whole @ query), kind="stable")[:RESULTS])
        assert rows.tolist() == np.argsort(-(whole @ query), kind="stable")[:RESULTS].tolist()
    print(f"written in {written_s:.1f} s")  # noqa: T201
    report("search_one_query", mine, "s", "the whole product in memory, sorted", plain, peak)
    if mine > SLACK * plain or peak > MOST_MB:
        sys.exit(f"the limits: {SLACK} times the peer's time, and {MOST_MB} MB")


if __name__ == "__main__":
    main()
