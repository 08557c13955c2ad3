"""Krippendorff's alpha: how far raters agree beyond chance.

K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011,
https://repository.upenn.edu/asc_papers/43). Written here because an interval wants the alpha of thousands
of resamples: the coincidences of a unit are added up once, and resampling adds them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Level(StrEnum):
    """How values differ: not at all or wholly (nominal), or by how many values lie between (ordinal)."""

    NOMINAL = "nominal"
    ORDINAL = "ordinal"


def coincidences(units: Sequence[Sequence[int]], values: int) -> Floats:
    """Each unit's coincidence matrix.

    Args:
        units: the values that each unit was given, by whomever, as numbers from 0.
        values: how many values there are.

    Returns:
        Of shape (units, values, values); of zeros for a unit with fewer than two values, which pairs with
        nothing.
    """
    counts = np.zeros((len(units), values))
    for number, given in enumerate(units):
        for value in given:
            counts[number, value] += 1
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, range(values), range(values)] -= counts
    raters = counts.sum(axis=1)
    return np.where(raters[:, None, None] > 1, pairs / np.maximum(raters - 1, 1)[:, None, None], 0.0)


def alpha(coincidence: Floats, level: Level) -> float | None:
    """Alpha of a coincidence matrix, the sum of its units'.

    Returns:
        1: all agree; 0: as by chance; None: nothing can be paired, or there is one value only, so that
        chance has no disagreement to compare with.
    """
    totals = coincidence.sum(axis=0)
    pairable = totals.sum()
    differences = _differences(totals, level)
    expected = (np.outer(totals, totals) * differences).sum()
    if pairable < 2 or expected == 0:
        return None
    observed = (coincidence * differences).sum()
    return float(1 - (pairable - 1) * observed / expected)


def _differences(totals: Floats, level: Level) -> Floats:
    """The squared difference of each pair of values."""
    if level is Level.NOMINAL:
        return 1.0 - np.eye(len(totals))
    # From the middle of one value's block of ranks to the middle of the other's.
    middles = np.cumsum(totals) - totals / 2
    squared: Floats = (middles[:, None] - middles[None, :]) ** 2
    return squared
