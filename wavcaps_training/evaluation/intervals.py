"""Bootstrap intervals of retrieval scores.

Test clips are drawn again with replacement, each with all of its captions; the candidates stay the same. The
interval says how much a score would vary with other test clips of the same kind. It says nothing of other
seeds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wavcaps_training.evaluation.ranking import DirectionScores

RESAMPLES = 1000
COVERAGE = 0.95
SEED = 0
# Resamples at a time, so that the weights of a large test set fit in memory.
AT_A_TIME = 50


def intervals(
    scores: DirectionScores, clip_of_query: np.ndarray, depths: tuple[int, ...]
) -> dict[str, tuple[float, float]]:
    """The 95 % percentile interval of each score, by its name in `tables.RETRIEVAL_SCORES`.

    Args:
        scores: of one direction.
        clip_of_query: (queries,) the clip that each query belongs to, from 0.
        depths: k of R@k.
    """
    values = {f"R@{k}": 100.0 * (scores.ranks < k) for k in depths}
    values["mAP@10"] = 100.0 * scores.average_precision
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in (*values, "median rank")}
    order = np.argsort(scores.ranks, kind="stable")
    for weights in _weights(clip_of_query):
        total = weights.sum(axis=1)
        for name, of_query in values.items():
            drawn[name].append(weights @ of_query / total)
        reached = weights[:, order].cumsum(axis=1) >= total[:, None] / 2
        drawn["median rank"].append(scores.ranks[order][reached.argmax(axis=1)] + 1.0)
    tails = (100 * (1 - COVERAGE) / 2, 100 * (1 + COVERAGE) / 2)
    found = {name: np.percentile(np.concatenate(parts), tails) for name, parts in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def interval_of_mean(per_seed: np.ndarray, clip_of_query: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a mean over seeds; seeds and test clips are both drawn again with replacement.

    Args:
        per_seed: (seeds, queries) what each query contributes to the mean, such as 100 for a hit.
        clip_of_query: (queries,) the clip that each query belongs to, from 0.
    """
    generator = np.random.default_rng(SEED)
    seeds = len(per_seed)
    drawn = []
    for weights in _weights(clip_of_query):
        of_seed = weights @ per_seed.T / weights.sum(axis=1, keepdims=True)
        share = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(weights)) / seeds
        drawn.append((of_seed * share).sum(axis=1))
    tails = (100 * (1 - COVERAGE) / 2, 100 * (1 + COVERAGE) / 2)
    low, high = np.percentile(np.concatenate(drawn), tails)
    return float(low), float(high)


def _weights(clip_of_query: np.ndarray) -> Iterator[np.ndarray]:
    """How often each query is in a resample: (resamples, queries), a part at a time."""
    generator = np.random.default_rng(SEED)
    clips = int(clip_of_query.max()) + 1
    for _ in range(0, RESAMPLES, AT_A_TIME):
        counts = generator.multinomial(clips, np.full(clips, 1 / clips), size=AT_A_TIME)
        yield counts[:, clip_of_query].astype(np.float64)
