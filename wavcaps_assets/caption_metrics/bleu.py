"""BLEU (Papineni et al., 2002) over a corpus, with the small constants of the COCO tools."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wavcaps_assets.caption_metrics.ngrams import ORDERS, ngrams

Words = Sequence[str]
# They stand in for a zero, so that one order without a match does not hide the others.
TINY, SMALL = 1e-15, 1e-9


def bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """BLEU-1 to BLEU-4 of a corpus, each 0 to 1. The reference length is the closest to the candidate's.

    Args:
        candidates: the words of each caption.
        references: for each of them, the words of one caption or several to compare it with.
    """
    correct, guessed = dict.fromkeys(ORDERS, 0), dict.fromkeys(ORDERS, 0)
    length, reference_length = 0, 0
    for candidate, those in zip(candidates, references, strict=True):
        length += len(candidate)
        reference_length += min((abs(len(words) - len(candidate)), len(words)) for words in those)[1]
        for order in ORDERS:
            counts = ngrams(candidate, order)
            known = [ngrams(words, order) for words in those]
            guessed[order] += counts.total()
            correct[order] += sum(
                min(count, max(one[ngram] for one in known)) for ngram, count in counts.items()
            )
    ratio = (length + TINY) / (reference_length + SMALL)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for order in ORDERS:
        product *= (correct[order] + TINY) / (guessed[order] + SMALL)
        scores.append(product ** (1 / order) * penalty)
    return scores
