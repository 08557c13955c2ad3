"""METEOR (Banerjee and Lavie, 2005) with two of its stages: equal words, then equal stems.

The figures are not those of METEOR 1.5, which the COCO tools run in Java: that one also knows synonyms
and paraphrases, and its parameters were tuned again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from wavcaps_assets.caption_metrics.stems import stem

Words = Sequence[str]
# Recall weighs nine times as much as precision; so much is taken off for words in another order.
RECALL_WEIGHT = 0.9
PENALTY, PENALTY_POWER = 0.5, 3
# Alignments that are followed side by side, as in METEOR's own search.
BEAM = 40


def meteor(candidate: Words, references: Sequence[Words]) -> float:
    """METEOR of one caption, 0 to 1: the best of its references."""
    return max((_single(candidate, words) for words in references), default=0.0)


def _single(candidate: Words, reference: Words) -> float:
    pairs = _aligned(candidate, reference)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(candidate), len(pairs) / len(reference)
    mean = precision * recall / (RECALL_WEIGHT * precision + (1 - RECALL_WEIGHT) * recall)
    return mean * (1 - PENALTY * (_chunks(pairs) / len(pairs)) ** PENALTY_POWER)


def _aligned(candidate: Words, reference: Words) -> list[tuple[int, int]]:
    """Which word of the one goes with which of the other: most words first, then fewest breaks.

    Equal words have equal stems, and both stages count alike, so that one search does for both.
    """
    stems = [stem(word) for word in reference]
    beam: list[list[tuple[int, int]]] = [[]]
    for index, word in enumerate(map(stem, candidate)):
        grown = [
            [*pairs, (index, place)]
            for pairs in beam
            for place, other in enumerate(stems)
            if other == word and all(place != taken for _, taken in pairs)
        ]
        beam = sorted([*beam, *grown], key=lambda pairs: (-len(pairs), _chunks(pairs)))[:BEAM]
    return beam[0]


def _chunks(pairs: Sequence[tuple[int, int]]) -> int:
    """Runs of pairs that follow each other in both captions."""
    follows = sum((one + 1, other + 1) == after for (one, other), after in pairwise(pairs))
    return len(pairs) - follows
