"""Krippendorff's alpha: the agreement of raters beyond chance.

K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011,
https://repository.upenn.edu/asc_papers/43). Implemented here because an interval needs the alpha of
thousands of resamples: the coincidences of each unit are computed once, and a resample only adds them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Level(StrEnum):
    """How values differ: equal or different (nominal), or by the values between them (ordinal)."""

    NOMINAL = "nominal"
    ORDINAL = "ordinal"


def coincidences(units: Sequence[Sequence[int]], values: int) -> Floats:
    """The coincidence matrix of each unit.

    Args:
        units: the values that raters gave each unit, as numbers from 0.
        values: the number of different values.

    Returns:
        Shape (units, values, values); zeros for a unit with fewer than two values.
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
    """Alpha of a coincidence matrix, summed over units.

    Returns:
        1: full agreement; 0: as by chance; None: no unit has two values, or there is only one value, so that
        no disagreement is expected by chance.
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
