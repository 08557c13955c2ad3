"""Clips of a set that sound like a benchmark's, by what an audio encoder makes of both.

It finds what fingerprints cannot see, such as a recording that was played faster. Two recordings of one kind
of sound are alike, too, so the pairs are for people to look at, and exclude nothing.

The set is read in batches and compared with the benchmark in pieces: the product of both is never in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from wavcaps_assets.benchmark_sets.evidence import REVIEW
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.tables import OVERLAPS

EMBEDDING = "embedding"
# Clips of the set, and of the benchmark, that are compared at a time: 64 MB of similarities.
SET_CLIPS, BENCHMARK_CLIPS = 2_048, 8_192
SILENT = NoProgress()

Matrix = NDArray[np.float32]
# Tables with `clip_id` and `embedding`, from the start each time that it is called.
Batches = Callable[[], Iterable[pa.Table]]


class SimilaritySettings(BaseModel):
    """Which clips are alike; `docs/decontamination.md` has the measurements."""

    least_similarity: float = Field(
        0.77,
        ge=-1,
        le=1,
        description="cosine of two clips' embeddings, each number less the set's mean and by its deviation, "
        "from which a pair is listed for review (-1 to 1)",
    )
    most_pairs: int = Field(3, ge=1, description="pairs that are listed for a benchmark's clip, at most")


@dataclass
class _Best:
    """The most similar clips of each clip of a benchmark so far."""

    settings: SimilaritySettings
    benchmark_clips: int
    own: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    other: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    similarity: Matrix = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        self._needed = np.full(self.benchmark_clips, self.settings.least_similarity, np.float32)

    def add(self, first: int, at: int, similarity: Matrix) -> None:
        """Adds the similarities of some clips of the set, from number `first`, with some of the benchmark.

        Args:
            first: the number of the first clip of the set.
            at: the number of the first clip of the benchmark.
            similarity: (clips of the set, clips of the benchmark).
        """
        row, column = np.nonzero(similarity >= self._needed[at : at + similarity.shape[1]])
        if not len(row):
            return
        own, other = np.append(self.own, row + first), np.append(self.other, column + at)
        values = np.append(self.similarity, similarity[row, column])
        order = np.lexsort((own, -values, other))
        own, other, values = own[order], other[order], values[order]
        starts = np.flatnonzero(np.append(True, other[1:] != other[:-1]))
        place = np.arange(len(other)) - np.repeat(starts, np.diff(np.append(starts, len(other))))
        kept = place < self.settings.most_pairs
        self.own, self.other, self.similarity = own[kept], other[kept], values[kept]
        last = place == self.settings.most_pairs - 1
        self._needed[other[last]] = values[last]


def near_duplicates(
    batches: Batches,
    clips: pa.Table,
    benchmark: pa.Table,
    embeddings: pa.Table,
    settings: SimilaritySettings,
    progress: Progress = SILENT,
) -> pa.Table:
    """The pairs of a set's and a benchmark's clips that are alike, most alike first.

    Args:
        batches: the embeddings of the set; those of clips that are not in `clips` are left out.
        clips: `clip_id` and `source` of the set.
        benchmark: `tables.BENCHMARK_CLIPS`.
        embeddings: `clip_id` and `embedding` of the benchmark, of the same encoder.

    Returns:
        `tables.OVERLAPS`.
    """
    ids = clips.column("clip_id").combine_chunks()

    def of_set() -> Iterable[tuple[pa.Array, Matrix]]:
        for batch in batches():
            there = batch.filter(pc.is_in(batch.column("clip_id"), value_set=ids))
            for at in range(0, len(there), SET_CLIPS):
                some = there.slice(at, SET_CLIPS)
                yield some.column("clip_id").combine_chunks(), _matrix(some)

    other = embeddings.filter(pc.is_in(embeddings.column("clip_id"), value_set=benchmark.column("clip_id")))
    mean, deviation = _statistics(matrix for _, matrix in of_set())
    theirs = _directions(_matrix(other), mean, deviation) if len(other) else np.zeros((0, 1), np.float32)
    best, seen, done = _Best(settings, len(other)), [pa.array([], pa.string())], 0
    for names, matrix in of_set():
        ours = _directions(matrix, mean, deviation)
        for at in range(0, len(theirs), BENCHMARK_CLIPS):
            best.add(done, at, ours @ theirs[at : at + BENCHMARK_CLIPS].T)
        seen.append(names)
        done += len(names)
        progress.update(done, len(clips), f"{len(best.own)} pairs")
    return _rows(pa.concat_arrays(seen).take(best.own), clips, other, benchmark, best)


def _rows(own: pa.Array, clips: pa.Table, other: pa.Table, benchmark: pa.Table, best: _Best) -> pa.Table:
    source = clips.column("source").take(pc.index_in(own, value_set=clips.column("clip_id").combine_chunks()))
    theirs = other.column("clip_id").take(best.other)
    place = pc.index_in(theirs, value_set=benchmark.column("clip_id").combine_chunks())
    similarity = best.similarity.astype(np.float64).round(4)
    columns = {
        "clip_id": own,
        "source": source,
        "benchmark": benchmark.column("benchmark").take(place),
        "benchmark_clip_id": theirs,
        "benchmark_split": benchmark.column("split").take(place),
        "evidence": pa.repeat(EMBEDDING, len(own)),
        "key": pa.array([f"a similar sound (similarity {one:.2f})" for one in similarity], pa.string()),
        "score": pa.array(similarity, pa.float64()),
        "offset_s": pa.nulls(len(own), pa.float64()),
        "verdict": pa.repeat(REVIEW, len(own)),
    }
    rows = pa.table([columns[name] for name in OVERLAPS.arrow.names], schema=OVERLAPS.arrow)
    order = [("score", "descending"), ("clip_id", "ascending"), ("benchmark_clip_id", "ascending")]
    return OVERLAPS.check(rows.sort_by(order))


def _matrix(table: pa.Table) -> Matrix:
    """The embeddings of a table, (clips, width), without a copy where they lie in one piece."""
    values = table.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(table), -1).astype(np.float32, copy=False)


def _statistics(matrices: Iterable[Matrix]) -> tuple[Matrix, Matrix]:
    """Mean and deviation of each number of the embeddings; 0 and 1 of an empty set."""
    number, total, squares = 0, np.zeros(1), np.zeros(1)
    for matrix in matrices:
        number += len(matrix)
        total = total + matrix.sum(axis=0, dtype=np.float64)
        squares = squares + np.square(matrix, dtype=np.float64).sum(axis=0)
    if not number:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    mean = total / number
    deviation = np.sqrt(np.maximum(squares / number - mean**2, 0))
    # A number that is the same for all clips says nothing.
    return mean.astype(np.float32), np.where(deviation > 0, deviation, 1).astype(np.float32)


def _directions(matrix: Matrix, mean: Matrix, deviation: Matrix) -> Matrix:
    """Vectors of length 1, whose products are similarities."""
    scaled = (matrix - mean) / deviation
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(length > 0, length, 1), np.float32)
