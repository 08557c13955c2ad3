"""Bootstrap intervals of retrieval scores.

Recordings are drawn again with replacement, each with all of its clips and captions, since clips that were
cut from one recording are found or missed together; the candidates stay the same. The interval says how much
a score would vary with other recordings of the same kind. It says nothing of other seeds.

Percentile intervals of a few groups are too narrow. Their percentiles are therefore those of Student's t,
widened by sqrt(n / (n - 1)) for n recordings: the expanded percentile interval of T. C. Hesterberg, "What
Teachers Should Know About the Bootstrap", 2015 (https://arxiv.org/abs/1411.5279).

Where everything was found, or nothing, every resample is like the test set, and the bootstrap would say that
the score is certain. There the interval is that of Clopper and Pearson, "The Use of Confidence or Fiducial
Limits Illustrated in the Case of the Binomial", 1934, with each recording as one trial.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from statistics import NormalDist

import numpy as np

from wavcaps_training.evaluation.ranking import DirectionScores

RESAMPLES = 1000
COVERAGE = 0.95
SEED = 0
# Numbers in memory at a time, of all resamples together.
NUMBERS_AT_A_TIME = 5_000_000


def intervals(
    scores: DirectionScores, group_of_query: np.ndarray, depths: tuple[int, ...]
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each score, by its name in `tables.RETRIEVAL_SCORES`; of one group there is none.

    Args:
        scores: of one direction.
        group_of_query: (queries,) the recording that each query belongs to, from 0 without gaps.
        depths: k of R@k.
    """
    groups = int(group_of_query.max()) + 1
    if groups == 1:
        return {}
    sizes = np.bincount(group_of_query)
    values = {f"R@{k}": 100.0 * (scores.ranks < k) for k in depths}
    values["mAP@10"] = 100.0 * scores.average_precision
    sums = {name: np.bincount(group_of_query, of_query) for name, of_query in values.items()}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in (*values, "median rank")}
    order = np.argsort(scores.ranks, kind="stable")
    ranks, group_of_rank = scores.ranks[order], group_of_query[order]
    for counts in resamples(groups, len(ranks)):
        total = counts @ sizes
        for name, of_group in sums.items():
            drawn[name].append(counts @ of_group / total)
        reached = counts[:, group_of_rank].cumsum(axis=1) >= total[:, None] / 2
        drawn["median rank"].append(ranks[reached.argmax(axis=1)] + 1.0)
    ends = {name: percent_ends(np.concatenate(drawn[name]), groups) for name in values}
    return {**ends, "median rank": interval_ends(np.concatenate(drawn["median rank"]), groups)}


def interval_of_mean(per_seed: np.ndarray, group_of_query: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of a mean over seeds; seeds and recordings are both drawn again with replacement.

    Args:
        per_seed: (seeds, queries) what each query contributes to the mean, such as 100 for a hit.
        group_of_query: (queries,) the recording that each query belongs to, from 0 without gaps.

    Returns:
        Its ends; None: all queries are of one recording.
    """
    groups = int(group_of_query.max()) + 1
    if groups == 1:
        return None
    generator = np.random.default_rng(SEED)
    seeds, sizes = len(per_seed), np.bincount(group_of_query)
    sums = np.stack([np.bincount(group_of_query, of_query) for of_query in per_seed], axis=1)
    drawn = []
    for counts in resamples(groups, len(group_of_query)):
        of_seed = counts @ sums / (counts @ sizes)[:, None]
        share = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(counts)) / seeds
        drawn.append((of_seed * share).sum(axis=1))
    return percent_ends(np.concatenate(drawn), groups)


@cache
def student_t_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution above its median, by integrating its density.

    Args:
        probability: above 0.5.
        degrees: degrees of freedom, at least 1.
    """
    # With x = sqrt(degrees) * tan(angle), the density is cos(angle) ** (degrees - 1), up to a constant.
    angles = np.linspace(0, np.pi / 2, 200_001)
    density = np.cos(angles) ** (degrees - 1)
    area = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    angle = np.interp(probability - 0.5, area / (2 * area[-1]), angles)
    return float(np.sqrt(degrees) * np.tan(angle))


def interval_ends(drawn: np.ndarray, groups: int) -> tuple[float, float]:
    """The ends of the 95 % interval of a score, from its values in the resamples of at least two groups."""
    tail = (1 - COVERAGE) / 2
    wider = np.sqrt(groups / (groups - 1)) * student_t_quantile(1 - tail, groups - 1)
    tail = NormalDist().cdf(-wider)
    low, high = np.percentile(drawn, (100 * tail, 100 * (1 - tail)))
    return float(low), float(high)


def percent_ends(drawn: np.ndarray, groups: int) -> tuple[float, float]:
    """`interval_ends` of a percentage, which is wider than nothing also where all resamples are 0 or 100."""
    if np.allclose(drawn, 0.0):
        return 0.0, 100.0 - certain_low(groups)
    if np.allclose(drawn, 100.0):
        return certain_low(groups), 100.0
    return interval_ends(drawn, groups)


def certain_low(trials: int) -> float:
    """The lower end of the 95 % interval of Clopper and Pearson (%) if every one of the trials succeeded."""
    return float(100.0 * ((1 - COVERAGE) / 2) ** (1 / trials))


def resamples(groups: int, queries: int) -> Iterator[np.ndarray]:
    """How often each group is in a resample: (resamples, groups), as many at a time as fit in memory."""
    generator = np.random.default_rng(SEED)
    at_a_time = min(max(NUMBERS_AT_A_TIME // queries, 1), RESAMPLES)
    for start in range(0, RESAMPLES, at_a_time):
        size = min(at_a_time, RESAMPLES - start)
        yield generator.multinomial(groups, np.full(groups, 1 / groups), size=size)
