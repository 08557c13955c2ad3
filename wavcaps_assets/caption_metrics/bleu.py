"""BLEU (Papineni et al., 2002) over a corpus, with the small constants of the COCO tools."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wavcaps_assets.caption_metrics.ngrams import ORDERS, ngrams

Words = Sequence[str]
# Added to zeros, so that an order without a match does not make the product zero.
TINY, SMALL = 1e-15, 1e-9


def bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """BLEU-1 to BLEU-4 of a corpus, 0 to 1. The reference length is the one closest to the candidate's.

    Args:
        candidates: the words of each caption.
        references: for each caption, the words of one or several reference captions.
    """
    correct, guessed = dict.fromkeys(ORDERS, 0), dict.fromkeys(ORDERS, 0)
    length, reference_length = 0, 0
    for candidate, own in zip(candidates, references, strict=True):
        length += len(candidate)
        reference_length += min((abs(len(words) - len(candidate)), len(words)) for words in own)[1]
        for order in ORDERS:
            counts = ngrams(candidate, order)
            known = [ngrams(words, order) for words in own]
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
