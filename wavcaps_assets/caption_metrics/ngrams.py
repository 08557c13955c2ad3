"""N-grams, as BLEU and CIDEr count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

ORDERS = (1, 2, 3, 4)

Ngram = tuple[str, ...]


def ngrams(words: Sequence[str], order: int) -> Counter[Ngram]:
    """How often each n-gram of `order` words occurs."""
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))
