"""Ranks of the correct candidates in retrieval, by counting in blocks.

Nothing is sorted: the rank of a correct candidate is the number of wrong ones that are at least as similar.
Similarities are computed in blocks, so embeddings may be memory-mapped, and 100,000 clips against 500,000
captions need no more memory than a small set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DEPTHS = (1, 5, 10)  # k in Table V
MAP_DEPTH = 10
# Similarities of unit vectors in float32 that are closer than this differ only by rounding, and are tied.
TIE = 1e-6
# A vector of another length than 1 is no unit vector, beyond the rounding of 16-bit numbers.
LENGTH_TOLERANCE = 0.01
CLIPS_A_BLOCK, CAPTIONS_A_BLOCK = 2048, 8192
# The largest number in a byte.
BYTE = 255


class BrokenEmbeddings(ValueError):
    """Embeddings that cannot be ranked."""


@dataclass(frozen=True)
class DirectionScores:
    """How well the queries of one direction found their targets.

    Attributes:
        ranks: (queries,) the 0-based rank of each query's best correct candidate.
        average_precision: (queries,) of the first ten candidates, from 0 to 1.
    """

    ranks: np.ndarray
    average_precision: np.ndarray

    def recall_at(self, k: int) -> float:
        """Percentage of queries with a correct candidate among their first k."""
        return 100.0 * float(np.mean(self.ranks < k))

    @property
    def map10(self) -> float:
        """Mean average precision of the first ten candidates, in percent."""
        return 100.0 * float(self.average_precision.mean())

    @property
    def median_rank(self) -> float:
        """The median rank, counted from 1 and rounded down."""
        return float(np.floor(np.median(self.ranks)) + 1)

    @property
    def mean_rank(self) -> float:
        """The mean rank, counted from 1."""
        return float(np.mean(self.ranks) + 1)


@dataclass(frozen=True)
class RetrievalScores:
    """Both directions, over the same clips and captions."""

    text_to_audio: DirectionScores
    audio_to_text: DirectionScores

    @property
    def recall_sum(self) -> float:
        """R@1 + R@5 + R@10 of both directions, by which checkpoints are selected."""
        return sum(d.recall_at(k) for d in (self.text_to_audio, self.audio_to_text) for k in DEPTHS)

    def mean_recall_at(self, k: int) -> float:
        """R@k, averaged over the two directions, in percent."""
        return (self.text_to_audio.recall_at(k) + self.audio_to_text.recall_at(k)) / 2


def score_retrieval(audio: np.ndarray, text: np.ndarray, clip_of_caption: np.ndarray) -> RetrievalScores:
    """Ranks all captions for each clip, and all clips for each caption.

    Ties are broken against the model: a wrong candidate that is as similar as a correct one is ranked before
    it, so a model that cannot distinguish candidates scores 0.

    Args:
        audio: (clips, dim), unit vectors.
        text: (captions, dim), unit vectors.
        clip_of_caption: (captions,) the row of `audio` that each caption belongs to. Each clip has one.

    Raises:
        BrokenEmbeddings: there are none; or a number is not finite, a vector is not of length 1, or a clip
            has no caption; names the first row.
    """
    _check(audio, text, clip_of_caption)
    own = np.empty(len(text))
    for rows in _blocks(len(text), CAPTIONS_A_BLOCK):
        pairs = (np.asarray(audio[clip_of_caption[rows]], np.float64), np.asarray(text[rows], np.float64))
        own[rows] = np.einsum("cd,cd->c", *pairs)
    wrong_clips, wrong_captions = _count_wrong(audio, text, clip_of_caption, (own - TIE).astype(np.float32))
    to_audio = DirectionScores(wrong_clips, np.where(wrong_clips < MAP_DEPTH, 1 / (wrong_clips + 1), 0.0))
    return RetrievalScores(to_audio, _ranked_captions(wrong_captions, clip_of_caption, len(audio)))


def _check(audio: np.ndarray, text: np.ndarray, clip_of_caption: np.ndarray) -> None:
    if not len(audio):
        raise BrokenEmbeddings("there is no clip to score")
    for name, vectors in (("clip", audio), ("caption", text)):
        for rows in _blocks(len(vectors), CAPTIONS_A_BLOCK):
            lengths = np.linalg.norm(np.asarray(vectors[rows], np.float32), axis=1)
            for broken, what in (
                (~np.isfinite(lengths), "hold NaN or infinity"),
                (np.abs(lengths - 1) > LENGTH_TOLERANCE, "are not of length 1, so ties cannot be seen"),
            ):
                if broken.any():
                    raise BrokenEmbeddings(
                        f"the embeddings of {broken.sum()} {name}s {what}, the first in row "
                        f"{rows.start + broken.argmax()}: the model or its input is broken"
                    )
    without = np.setdiff1d(np.arange(len(audio)), clip_of_caption)
    if len(without):
        raise BrokenEmbeddings(f"{len(without)} clips have no caption, the first in row {without[0]}")


def _count_wrong(
    audio: np.ndarray, text: np.ndarray, clip_of_caption: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each caption, how many wrong clips, and for its clip how many wrong captions, reach its threshold.

    Args:
        thresholds: (captions,) float32, the similarity of each caption and its clip, less a tie.

    Returns:
        Two arrays (captions,).
    """
    clips = np.zeros(len(text), np.int64)
    captions = np.zeros(len(text), np.int64)
    by_clip = np.argsort(clip_of_caption, kind="stable")
    sorted_clips = clip_of_caption[by_clip]
    for rows in _blocks(len(audio), CLIPS_A_BLOCK):
        sounds = np.asarray(audio[rows], np.float32)
        mine = by_clip[slice(*np.searchsorted(sorted_clips, (rows.start, rows.stop)))]
        of_clip = clip_of_caption[mine] - rows.start
        for columns in _blocks(len(text), CAPTIONS_A_BLOCK):
            similarity = sounds @ np.asarray(text[columns], np.float32).T
            inside = (mine >= columns.start) & (mine < columns.stop)
            similarity[of_clip[inside], mine[inside] - columns.start] = -np.inf
            clips[columns] += _count_in_columns(similarity, thresholds[columns])
            # One row at a time stays in the processor's cache. A row for each caption, copied, would not.
            captions[mine] += [
                np.count_nonzero(similarity[clip] >= threshold)
                for clip, threshold in zip(of_clip, thresholds[mine], strict=True)
            ]
    return clips, captions


def _count_in_columns(similarity: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many numbers of each column reach the column's threshold.

    Bytes are summed as bytes, which is many times faster, 255 at a time, which is what a byte holds.
    """
    counts = np.zeros(len(thresholds), np.int64)
    for rows in _blocks(len(similarity), BYTE):
        reached = (similarity[rows] >= thresholds).view(np.uint8)
        counts += np.add.reduce(reached, axis=0, dtype=np.uint8)
    return counts


def _ranked_captions(wrong: np.ndarray, clip_of_caption: np.ndarray, clips: int) -> DirectionScores:
    """The scores of clips as queries.

    Args:
        wrong: (captions,) the wrong captions before each, for its clip.
    """
    order = np.lexsort((wrong, clip_of_caption))
    counts = np.bincount(clip_of_caption, minlength=clips)
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    # A clip's own captions that are ranked before each of them.
    before = np.arange(len(order)) - np.repeat(first, counts)
    positions = wrong[order] + before
    precision = np.where(positions < MAP_DEPTH, (before + 1) / (positions + 1), 0.0)
    return DirectionScores(wrong[order][first], np.add.reduceat(precision, first) / counts)


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
