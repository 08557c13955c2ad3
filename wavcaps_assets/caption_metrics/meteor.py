"""METEOR (Banerjee and Lavie, 2005) with two of its stages: equal words, then equal stems.

The values differ from METEOR 1.5, which the COCO tools run in Java: that version also matches synonyms and
paraphrases, and has other parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from wavcaps_assets.caption_metrics.stems import stem

Words = Sequence[str]
# Recall has nine times the weight of precision. The penalty is for words in another order.
RECALL_WEIGHT = 0.9
PENALTY, PENALTY_POWER = 0.5, 3
# Alignments kept at each step of the search, as in METEOR's own.
BEAM = 40


def meteor(candidate: Words, references: Sequence[Words]) -> float:
    """METEOR of one caption, 0 to 1: the best over its references."""
    return max((_single(candidate, words) for words in references), default=0.0)


def _single(candidate: Words, reference: Words) -> float:
    pairs = _aligned(candidate, reference)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(candidate), len(pairs) / len(reference)
    mean = precision * recall / (RECALL_WEIGHT * precision + (1 - RECALL_WEIGHT) * recall)
    return mean * (1 - PENALTY * (_chunks(pairs) / len(pairs)) ** PENALTY_POWER)


def _aligned(candidate: Words, reference: Words) -> list[tuple[int, int]]:
    """The alignment of words with the most pairs and then the fewest chunks.

    Equal words have equal stems, and both stages have the same weight, so one search is enough.
    """
    stems = [stem(word) for word in reference]
    beam: list[list[tuple[int, int]]] = [[]]
    for index, word in enumerate(map(stem, candidate)):
        grown = [
            [*pairs, (index, place)]
            for pairs in beam
            for place, other in enumerate(stems)
            if other == word and all(place != used for _, used in pairs)
        ]
        beam = sorted([*beam, *grown], key=lambda pairs: (-len(pairs), _chunks(pairs)))[:BEAM]
    return beam[0]


def _chunks(pairs: Sequence[tuple[int, int]]) -> int:
    """The number of runs of pairs that are consecutive in both captions."""
    follows = sum((one + 1, other + 1) == after for (one, other), after in pairwise(pairs))
    return len(pairs) - follows
