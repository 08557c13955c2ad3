"""The arithmetic of scores of generated sound, as audioldm_eval defines it.

https://github.com/haoheliu/audioldm_eval
"""

from __future__ import annotations

import numpy as np

# Of the Inception Score: the sounds are shuffled and cut into these parts.
SPLITS = 10
SHUFFLED_BY = 2020
SMALLEST = 1e-6


def frechet_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """The Fréchet distance of two sets of vectors, each taken as a normal distribution.

    |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), with the covariances of n - 1. The last trace is computed
    from the eigenvalues of S1^(1/2) S2 S1^(1/2), which are those of S1 S2, and real.

    Args:
        generated: (sounds, width).
        real: (sounds, width).

    Raises:
        ValueError: a set has fewer than two vectors.
    """
    if min(len(generated), len(real)) < 2:
        raise ValueError("a Fréchet distance needs at least two sounds of each kind")
    first, second = (np.asarray(vectors, np.float64) for vectors in (generated, real))
    shift = first.mean(axis=0) - second.mean(axis=0)
    one, other = (np.atleast_2d(np.cov(vectors, rowvar=False)) for vectors in (first, second))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(min=0)).sum()
    return float(shift @ shift + np.trace(one) + np.trace(other) - 2 * shared)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(sounds, classes) to shares that add up to 1."""
    shifted = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True))
    shares: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return shares


def kl_divergence(generated: np.ndarray, real: np.ndarray) -> float:
    """The mean divergence of the classes of a generated sound from those of the real one with the same text.

    Args:
        generated: logits (sounds, classes).
        real: logits of the same texts' clips, in the same order.
    """
    target, found = softmax(real), softmax(generated) + SMALLEST
    logs = np.log(target, out=np.zeros_like(target), where=target > 0)
    return float((target * (logs - np.log(found))).sum(axis=1).mean())


def inception_score(logits: np.ndarray, splits: int = SPLITS) -> float:
    """The Inception Score: how clear each sound's classes are, and how different those of all sounds.

    Args:
        logits: (sounds, classes).
        splits: parts whose scores are averaged; of fewer sounds than this, all are one part.
    """
    shares = softmax(logits)[np.random.RandomState(SHUFFLED_BY).permutation(len(logits))]
    parts = splits if len(shares) >= splits else 1
    scores = []
    for part in (
        shares[place * len(shares) // parts : (place + 1) * len(shares) // parts] for place in range(parts)
    ):
        logs = np.log(part, out=np.zeros_like(part), where=part > 0)
        divergence = (part * (logs - np.log(part.mean(axis=0, keepdims=True).clip(min=1e-300)))).sum(axis=1)
        scores.append(np.exp(divergence.mean()))
    return float(np.mean(scores))
