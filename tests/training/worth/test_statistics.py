"""Differences over recordings and seeds: known answers, and how often chance is called a difference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from wavcaps_training.worth.statistics import (
    Contributions,
    Student,
    averaged,
    bootstrap,
    contributions,
    difference,
    holm,
)


@pytest.mark.parametrize("freedom", [1.0, 1.7, 4.0, 13.0, 200.0])
def test_student_is_that_of_scipy(freedom: float) -> None:
    ours = Student(freedom)
    assert ours.two_sided(2.3) == pytest.approx(2 * stats.t.sf(2.3, freedom), abs=1e-6)
    assert ours.quantile(0.975) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-5)
    assert ours.quantile(0.8) == pytest.approx(stats.t.ppf(0.8, freedom), rel=1e-5)


def test_holm_is_that_of_the_hand() -> None:
    # 0.01 x 3; 0.03 x 2; 0.04 x 1 is not below the one before it.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_contributions_sum_to_the_score() -> None:
    hits = np.array([[1, 0, 1, 1], [0, 0, 1, 0]])
    found = contributions(hits, np.array([0, 0, 1, 2]))
    assert found.values.sum(axis=1).tolist() == [75.0, 25.0]
    assert found.score == 50.0
    assert found.weights.tolist() == [0.5, 0.25, 0.25]
    other = contributions(1 - hits, np.array([0, 0, 1, 2]))
    assert averaged([found, other]).score == 50.0


def test_without_recordings_that_differ_it_is_the_paired_t_test_of_the_seeds() -> None:
    # All recordings have the same difference in a seed: only seeds are chance.
    of_seeds = np.array([3.0, 1.0, 4.0, 2.0, 5.0])
    weights = np.full(10, 0.1)
    before = Contributions(np.zeros((5, 10)), weights)
    found = difference(before, Contributions(np.outer(of_seeds, weights), weights))
    expected = stats.ttest_1samp(of_seeds, 0)
    assert found.value == pytest.approx(3.0)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-6)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-4)


def test_without_seeds_that_differ_it_is_the_paired_t_test_of_the_recordings() -> None:
    of_recordings = np.array([3.0, 1.0, 4.0, 2.0, 5.0, -1.0])
    weights = np.full(6, 1 / 6)
    before = Contributions(np.zeros((4, 6)), weights)
    after = Contributions(np.tile(of_recordings / 6, (4, 1)), weights)
    expected = stats.ttest_1samp(of_recordings, 0)
    assert difference(before, after).p == pytest.approx(expected.pvalue, abs=1e-6)


def test_one_seed_or_one_recording_is_refused() -> None:
    for shape in ((1, 4), (4, 1)):
        some = Contributions(np.ones(shape), np.full(shape[1], 1 / shape[1]))
        with pytest.raises(ValueError, match="at least two of each"):
            difference(some, some)


def test_seeds_that_have_the_same_score_by_chance_are_no_certainty() -> None:
    # Two seeds, whose differences are at different clips, and sum to the same.
    weights = np.full(4, 0.25)
    before = Contributions(np.zeros((2, 4)), weights)
    after = Contributions(np.array([[10.0, 0.0, 0.0, 10.0], [0.0, 10.0, 10.0, 0.0]]), weights)
    found = difference(before, after)
    assert found.value == 20.0
    assert found.p > 0.05
    assert found.low < 0 < found.high


def test_rounding_is_not_taken_for_a_variance() -> None:
    # Two seeds with equal differences at other clips, in shares that binary fractions do not hold exactly.
    generator = np.random.default_rng(1)
    recording = np.repeat(np.arange(14), 6)
    easy = generator.beta(1, 1, size=14)[recording]
    before, after = (contributions(generator.random((2, 84)) < easy, recording) for _ in range(2))
    assert np.ptp((after.values - before.values).sum(axis=1)) == pytest.approx(0.0)
    found = difference(before, after)
    assert found.p > 0.05
    assert found.low < 0 < found.high


@pytest.mark.parametrize("recordings", [2, 3])
def test_a_few_clips_that_all_seeds_agree_on_are_no_certainty(recordings: int) -> None:
    recording = np.arange(recordings)
    nothing, everything = np.zeros((2, recordings)), np.ones((2, recordings))
    found = difference(contributions(nothing, recording), contributions(everything, recording))
    assert found.value == 100.0
    assert found.p > 0.05
    assert found.low < 0 < found.high
    assert found.detectable is not None and found.detectable > 100.0


def test_equal_sides_have_no_difference() -> None:
    some = Contributions(np.random.default_rng(0).random((4, 6)), np.full(6, 1 / 6))
    found = difference(some, some)
    assert (found.value, found.p, found.detectable) == (0.0, 1.0, None)
    # As if one seed had differed in one clip.
    assert found.low < 0 < found.high
    low, high = bootstrap(some)
    assert low < some.score < high


def simulated(generator: np.random.Generator, effect: float, of_recording: float) -> float:
    """The p-value of a simulated comparison: 6 seeds, and 14 recordings of unequal size, as in the demo."""
    sizes = np.array([11, 11, 11, 11, 10, 10, 9, 8, 1, 1, 1, 1, 1, 1])
    recording = np.repeat(np.arange(14), sizes)
    easy = generator.normal(-1.0, 1.0, size=len(recording))
    shift = effect + generator.normal(0, of_recording, size=14)[recording] if of_recording else effect
    hits = []
    for change in (0.0, shift):
        skill = easy + change + generator.normal(0, 0.3, size=(6, 14))[:, recording]
        hits.append(generator.random((6, len(recording))) < 1 / (1 + np.exp(-skill)))
    before, after = (contributions(one, recording) for one in hits)
    return difference(before, after).p


@pytest.mark.slow
def test_chance_is_called_a_difference_in_about_one_of_twenty_cases() -> None:
    generator = np.random.default_rng(0)
    of_none = np.mean([simulated(generator, 0.0, 0.0) < 0.05 for _ in range(150)])
    # Recordings differ, and the mean over all recordings of the world does not.
    of_recordings = np.mean([simulated(generator, 0.0, 1.0) < 0.05 for _ in range(150)])
    assert 0.02 <= of_none <= 0.08
    assert 0.02 <= of_recordings <= 0.10
    assert np.mean([simulated(generator, 1.5, 0.3) < 0.05 for _ in range(30)]) > 0.9
