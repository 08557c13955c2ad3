"""What guessing scores: the expected values of a random order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavcaps_training.evaluation.ranking import MAP_DEPTH


def chance_recall(candidates: int, k: int, correct: Sequence[int] | np.ndarray = (1,)) -> float:
    """R@k in percent.

    Args:
        candidates: how many there are.
        k: how many of them are looked at.
        correct: how many candidates are correct, for each query.
    """
    missed = np.ones(len(correct))
    for seen in range(min(k, candidates)):
        missed *= np.clip(candidates - np.asarray(correct) - seen, 0, None) / (candidates - seen)
    return 100.0 * float(1 - missed.mean())


def chance_map10(candidates: int, correct: Sequence[int] | np.ndarray = (1,)) -> float:
    """Mean average precision of the first ten candidates, in percent; the arguments of `chance_recall`."""
    places = np.arange(1, min(MAP_DEPTH, candidates) + 1)
    others = (np.asarray(correct) - 1)[:, None] / max(candidates - 1, 1)
    return 100.0 * float(((1 + (places - 1) * others) / places).sum(axis=1).mean() / candidates)


def chance_median_rank(candidates: int, correct: Sequence[int] | np.ndarray = (1,)) -> float:
    """The median rank, counted from 1; the arguments of `chance_recall`."""
    low, high = 1, candidates
    while low < high:
        middle = (low + high) // 2
        found = chance_recall(candidates, middle, correct) >= 50
        low, high = (low, middle) if found else (middle + 1, high)
    return float(low)
