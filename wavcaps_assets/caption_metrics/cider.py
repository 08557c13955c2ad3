"""CIDEr-D (Vedantam et al., 2015): n-grams, weighted by how few clips have them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from wavcaps_assets.caption_metrics.ngrams import ORDERS, Ngram, ngrams

Words = Sequence[str]
SIGMA = 6.0
SCALE = 10.0


def cider_d(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """CIDEr-D of each caption, 0 to 10. Document frequencies are those of the references.

    The difference in length is counted in bigrams, as in the COCO tools.

    Args:
        candidates: the words of each caption.
        references: for each caption, the words of one or several reference captions.
    """
    clips_with: Counter[Ngram] = Counter()
    for own in references:
        clips_with.update({ngram for words in own for order in ORDERS for ngram in ngrams(words, order)})
    clips = math.log(len(references)) if references else 0.0

    def weighted(words: Words, order: int) -> dict[Ngram, float]:
        counts = ngrams(words, order)
        return {
            ngram: count * (clips - math.log(max(1, clips_with[ngram]))) for ngram, count in counts.items()
        }

    def similarity(candidate: Words, reference: Words) -> float:
        apart = max(0, len(candidate) - 1) - max(0, len(reference) - 1)
        total = 0.0
        for order in ORDERS:
            one, other = weighted(candidate, order), weighted(reference, order)
            norms = _norm(one) * _norm(other)
            if norms:
                product = sum(
                    min(weight, other.get(ngram, 0.0)) * other.get(ngram, 0.0)
                    for ngram, weight in one.items()
                )
                total += product / norms
        return total / len(ORDERS) * math.exp(-(apart**2) / (2 * SIGMA**2))

    return [
        SCALE * sum(similarity(candidate, words) for words in own) / len(own)
        for candidate, own in zip(candidates, references, strict=True)
    ]


def _norm(weights: dict[Ngram, float]) -> float:
    return math.sqrt(sum(weight**2 for weight in weights.values()))
