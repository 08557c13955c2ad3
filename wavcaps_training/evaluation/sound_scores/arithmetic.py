"""Fréchet distance, KL divergence and inception score, from features and logits.

The definitions are those of the evaluation that AudioLDM and the paper used
(https://github.com/haoheliu/audioldm_eval).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

# Of the inception score.
SPLITS, SEED = 10, 2020
# Is added to the denominator of the KL divergence.
EPSILON = 1e-6

Numbers = npt.NDArray[np.floating]


class ScoreError(ValueError):
    """A score cannot be computed from these numbers; says why."""


@dataclass(frozen=True)
class Gaussian:
    """The mean and covariance of a set of features.

    Attributes:
        mean: (features,).
        covariance: (features, features), with n - 1 in the denominator.
    """

    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]

    @classmethod
    def of(cls, features: Numbers) -> Self:
        """The Gaussian of at least two rows.

        Args:
            features: (rows, features).

        Raises:
            ScoreError: there are fewer rows, or values that are not finite.
        """
        if len(features) < 2:
            raise ScoreError(f"a Fréchet distance needs at least 2 embeddings, and there is {len(features)}")
        if not np.isfinite(features).all():
            raise ScoreError("some embeddings are not finite")
        exact = np.asarray(features, dtype=np.float64)
        return cls(exact.mean(axis=0), np.atleast_2d(np.cov(exact, rowvar=False)))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """The Fréchet distance of two Gaussians (Dowson and Landau, 1982): FAD and FD of Table VIII.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). C1 C2 has the eigenvalues of the symmetric matrix
    C1^(1/2) C2 C1^(1/2), whose square roots are real also where there are fewer rows than features; a matrix
    square root of C1 C2 itself is not reliable there.
    """
    values, vectors = np.linalg.eigh(one.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ other.covariance @ root).clip(min=0)).sum()
    apart = np.square(one.mean - other.mean).sum()
    spread = np.trace(one.covariance) + np.trace(other.covariance)
    # Rounding can leave a small negative number for two equal Gaussians.
    return float(max(apart + spread - 2 * shared, 0.0))


def kl_divergences(target_logits: Numbers, generated_logits: Numbers) -> npt.NDArray[np.float64]:
    """KL(target || generated) of the classes of each pair of clips: (clips,), in nats. Table VIII: the mean.

    Args:
        target_logits: (clips, classes), of the real clips.
        generated_logits: (clips, classes), of the clips generated from their captions.

    Raises:
        ScoreError: the shapes differ, or some logits are not finite.
    """
    if target_logits.shape != generated_logits.shape:
        raise ScoreError(
            f"a KL divergence compares pairs, and there are {len(target_logits)} real clips and "
            f"{len(generated_logits)} generated ones"
        )
    target, generated = softmax(target_logits), softmax(generated_logits)
    log_target = np.log(target, out=np.zeros_like(target), where=target > 0)
    return np.asarray((target * (log_target - np.log(generated + EPSILON))).sum(axis=1))


def inception_score(logits: Numbers) -> float:
    """exp(E KL(p(y|x) || p(y))), the mean of ten random parts of the clips (Salimans et al., 2016).

    Args:
        logits: (clips, classes).

    Raises:
        ScoreError: there are fewer clips than parts, or some logits are not finite.
    """
    if len(logits) < SPLITS:
        raise ScoreError(f"an inception score needs at least {SPLITS} clips, and there are {len(logits)}")
    order = np.random.RandomState(SEED).permutation(len(logits))
    probabilities = softmax(logits)[order]
    edges = np.arange(SPLITS + 1) * len(probabilities) // SPLITS
    scores = []
    for start, end in pairwise(edges):
        part = probabilities[start:end]
        ratio = part / np.where(part > 0, part.mean(axis=0), 1.0)
        log_ratio = np.log(ratio, out=np.zeros_like(ratio), where=ratio > 0)
        scores.append(np.exp((part * log_ratio).sum(axis=1).mean()))
    return float(np.mean(scores))


def softmax(logits: Numbers) -> npt.NDArray[np.float64]:
    """(rows, classes), of the same shape, in 64 bits.

    Raises:
        ScoreError: some logits are not finite.
    """
    if not np.isfinite(logits).all():
        raise ScoreError("some logits are not finite")
    exact = np.asarray(logits, dtype=np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
