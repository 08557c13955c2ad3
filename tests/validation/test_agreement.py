"""Krippendorff's alpha, against his own worked example and the package `krippendorff`."""

from __future__ import annotations

import numpy as np
import pytest

from wavcaps_assets.validation.agreement import Level, alpha, coincidences

# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve
# units, missing values.
OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
UNITS = [
    [int(value) - 1 for value in unit if value != "."]
    for unit in zip(*(line.split() for line in OBSERVERS), strict=True)
]


def test_the_published_example() -> None:
    units = coincidences(UNITS, 5)
    # His coincidence matrix: its diagonal, some of the rest, and its margins.
    total = units.sum(axis=0)
    assert total.diagonal() == pytest.approx([7, 10, 8, 4, 3])
    assert total[0] == pytest.approx([7, 4 / 3, 1 / 3, 1 / 3, 0])
    assert total.sum(axis=0) == pytest.approx([9, 13, 10, 5, 3])
    assert alpha(total, Level.NOMINAL) == pytest.approx(0.743, abs=5e-4)
    assert alpha(total, Level.ORDINAL) == pytest.approx(0.815, abs=5e-4)


@pytest.mark.parametrize("level", list(Level))
def test_the_same_as_the_package(level: Level) -> None:
    krippendorff = pytest.importorskip("krippendorff", reason="the package krippendorff is not installed")
    random = np.random.default_rng(1)
    for _ in range(20):
        truth = random.integers(5, size=30)
        noise = random.integers(-1, 2, size=(4, 30))
        table = np.clip(truth + noise, 0, 4).astype(float)
        table[random.random(table.shape) < 0.3] = np.nan
        units = [[int(value) for value in unit if not np.isnan(value)] for unit in table.T]
        ours = alpha(coincidences(units, 5).sum(axis=0), level)
        assert ours == pytest.approx(krippendorff.alpha(table, level_of_measurement=level.value))


def test_perfect_agreement_and_none() -> None:
    assert alpha(coincidences([[0, 0], [1, 1]], 3).sum(axis=0), Level.NOMINAL) == 1
    # By hand: all pairs disagree; 1 - (4 - 1) * 4 / (2 * 2 * 2) = -0.5.
    assert alpha(coincidences([[0, 1], [1, 0]], 3).sum(axis=0), Level.NOMINAL) == pytest.approx(-0.5)


def test_nothing_to_compare_with() -> None:
    assert alpha(coincidences([[0], [1], []], 3).sum(axis=0), Level.NOMINAL) is None
    assert alpha(coincidences([[2, 2], [2, 2]], 3).sum(axis=0), Level.ORDINAL) is None
