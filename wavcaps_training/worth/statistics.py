"""Whether a difference between two sides is more than chance: over recordings and seeds at once.

What each recording and each seed contributes to a score is a matrix. Seeds differ, because training is
random; recordings differ, because the test set is one of many. Both vary the difference, and clips of one
recording are not independent. Its variance is that of two crossed factors, each of which is a sample (as in
Cameron, Gelbach and Miller, "Robust inference with multiway clustering", 2011, section 2), with the degrees
of freedom of Welch and Satterthwaite. Seeds alone would say nothing of other recordings, and recordings alone
nothing of other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wavcaps_training.evaluation.intervals import certain_low

COVERAGE, POWER = 0.95, 0.80
RESAMPLES = 2000
AT_A_TIME = 200
DRAW_SEED = 0
# Sums of shares are off in the last digits; an interval must contain its own value.
DIGITS = 9
MOST = 100.0
# Below it, in squared percentage points, a variance is a rounding error.
NO_VARIANCE = 1e-9
# Points of the integral of Student's distribution; p-values are exact to about 1e-6.
POINTS = 20_001


@dataclass(frozen=True)
class Contributions:
    """What each recording adds to a score, for each seed.

    Attributes:
        values: (seeds, recordings) in percent; a row sums to the seed's score.
        weights: (recordings,) the share of the queries that each has; they sum to 1.
    """

    values: np.ndarray
    weights: np.ndarray

    @property
    def score(self) -> float:
        """The mean over the seeds, in percent."""
        return round(float(self.values.sum(axis=1).mean()), DIGITS)


@dataclass(frozen=True)
class Difference:
    """A paired difference, in percentage points.

    Attributes:
        value: after minus before.
        low, high: the 95 % interval.
        p: of no difference; two-sided.
        detectable: the smallest difference that this comparison finds in 80 % of cases; None: not known,
            because no seed differs in any recording.
        bootstrap_low, bootstrap_high: the 95 % percentile interval over resampled recordings and seeds.
    """

    value: float
    low: float
    high: float
    p: float
    detectable: float | None
    bootstrap_low: float
    bootstrap_high: float


def contributions(hits: np.ndarray, recording_of_query: np.ndarray) -> Contributions:
    """Groups the hits of queries by recording.

    Args:
        hits: (seeds, queries) 1 where a query found what is correct, else 0.
        recording_of_query: (queries,) the number of the recording of each, from 0.
    """
    queries = len(recording_of_query)
    weights = np.bincount(recording_of_query) / queries
    rows = [np.bincount(recording_of_query, one, minlength=len(weights)) for one in hits.astype(np.float64)]
    return Contributions(100.0 * np.stack(rows) / queries, weights)


def averaged(parts: Sequence[Contributions]) -> Contributions:
    """The mean of several scores of the same seeds and recordings, such as of both directions."""
    values = np.mean([part.values for part in parts], axis=0)
    return Contributions(values, np.mean([part.weights for part in parts], axis=0))


def bootstrap(of: Contributions) -> tuple[float, float]:
    """The 95 % percentile interval of a score.

    Recordings and seeds are both drawn with replacement. The draws depend only on how many there are, so two
    sides get the same ones.
    """
    generator = np.random.default_rng(DRAW_SEED)
    seeds, recordings = of.values.shape
    drawn = []
    for _ in range(0, RESAMPLES, AT_A_TIME):
        seed_share = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=AT_A_TIME) / seeds
        counts = generator.multinomial(recordings, np.full(recordings, 1 / recordings), size=AT_A_TIME)
        summed = np.einsum("bg,bg->b", seed_share @ of.values, counts.astype(np.float64))
        drawn.append(summed / (counts @ of.weights))
    tails = (100 * (1 - COVERAGE) / 2, 100 * (1 + COVERAGE) / 2)
    low, high = np.percentile(np.concatenate(drawn), tails)
    return round(float(low), DIGITS), round(float(high), DIGITS)


def interval_of_score(of: Contributions) -> tuple[float, float]:
    """The 95 % interval of a score: `bootstrap`; at 0 and 100 %, of Clopper and Pearson over recordings."""
    low, high = bootstrap(of)
    certain = round(certain_low(of.values.shape[1]), DIGITS)
    if math.isclose(low, 100.0):
        return certain, 100.0
    return (0.0, round(100.0 - certain, DIGITS)) if math.isclose(high, 0.0, abs_tol=1e-6) else (low, high)


def difference(before: Contributions, after: Contributions) -> Difference:
    """Compares two sides that were scored on the same queries, with equally many seeds.

    Seeds are paired in their order.

    Raises:
        ValueError: there is one seed, or one recording, so that nothing is known of chance.
    """
    paired = Contributions(after.values - before.values, before.weights)
    seeds, recordings = paired.values.shape
    if seeds < 2 or recordings < 2:
        raise ValueError(
            f"{seeds} seeds and {recordings} recordings: at least two of each are needed to see what chance "
            "does"
        )
    value = paired.score
    residuals = paired.values - value * paired.weights
    of_seeds = float(residuals.sum(axis=1).var(ddof=1)) / seeds
    over_recordings = recordings / (recordings - 1) * float((residuals.mean(axis=0) ** 2).sum())
    # What the seeds' chance alone would make recordings differ by is in `of_seeds` already.
    of_both = float(residuals.var(axis=0, ddof=1).sum()) / seeds
    of_recordings = max(over_recordings - of_both, 0.0)
    # Scores are counts of clips: by chance, all seeds can have the same one. Rounding leaves no exact 0.
    if of_seeds + of_recordings < NO_VARIANCE:
        of_seeds = of_recordings = 0.0
    low, high = bootstrap(paired)
    # If all seeds agree in all recordings, it is as if one seed had differed in one clip.
    of_one_clip = (100.0 * float(paired.weights.min()) / seeds) ** 2
    error = math.sqrt(of_seeds + of_recordings or (of_both if of_both > NO_VARIANCE else of_one_clip))
    # Recordings of unequal size count as fewer.
    as_many = 1 / float((paired.weights**2).sum())
    parts = of_seeds**2 / (seeds - 1) + of_recordings**2 / max(as_many - 1, 1.0)
    distribution = Student(max(error**4 / parts, 1.0) if parts else seeds - 1.0)
    half = distribution.quantile((1 + COVERAGE) / 2) * error
    detectable = half + distribution.quantile(POWER) * error
    nothing_differs = not np.any(np.abs(paired.values) > NO_VARIANCE)
    p = distribution.two_sided(abs(value) / error)
    known = None if nothing_differs else detectable
    # No score differs from another by more than all.
    ends = (max(value - half, -MOST), min(value + half, MOST))
    return Difference(value, *ends, p, known, low, high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several (Holm, 1979), in the same order."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[place]))
        corrected[place] = largest
    return corrected


class Student:
    """Student's distribution, by its integral over the angle: t = sqrt(v) tan(angle).

    Args:
        freedom: degrees of freedom, at least 1; they need not be whole.
    """

    def __init__(self, freedom: float) -> None:
        self._freedom = freedom
        self._angles = np.linspace(0.0, math.pi / 2, POINTS)
        density = np.cos(self._angles) ** (freedom - 1)
        area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        self._inside = area / area[-1]

    def two_sided(self, t: float) -> float:
        """The probability of a value at least as far from 0 as `t`, which is not negative."""
        angle = math.atan(t / math.sqrt(self._freedom))
        return 1.0 - float(np.interp(angle, self._angles, self._inside))

    def quantile(self, probability: float) -> float:
        """The value below which this share of the distribution is, at least one half."""
        angle = float(np.interp(2 * probability - 1, self._inside, self._angles))
        return math.sqrt(self._freedom) * math.tan(angle)
