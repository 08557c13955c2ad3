"""BLEU, ROUGE-L and CIDEr-D of captions, by the COCO tools themselves (package pycocoevalcap).

Their numbers agree with those of `wavcaps_assets.caption_metrics`, which needs no other package and compares
captions while a model is trained. What is published is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ORDERS = 4
# The COCO tools' constants, so that an order without a match does not make the product zero.
TINY, SMALL = 1e-15, 1e-9


def bleu_counts(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """What BLEU is made of, for each clip.

    Args:
        captions: words separated by spaces, of one caption a clip; may be empty.
        references: words of one or several references for each clip.

    Returns:
        (clips, 10): n-grams of orders 1 to 4 that a reference has too, all n-grams of orders 1 to 4, words,
        and words of the reference whose length is closest.
    """
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=ORDERS)
    for caption, own in zip(captions, references, strict=True):
        scorer += (caption, list(own))
    rows = []
    for counts in scorer.ctest:
        words = counts["testlen"]
        closest = min((abs(length - words), length) for length in counts["reflen"])[1]
        rows.append([*counts["correct"], *counts["guess"], words, closest])
    return np.array(rows, np.float64).reshape(-1, 2 * ORDERS + 2)


def bleu(counts: np.ndarray) -> np.ndarray:
    """BLEU-1 to BLEU-4 of a test set, from the sum of its counts: (..., 10) to (..., 4), 0 to 1."""
    ratio = (counts[..., -2] + TINY) / (counts[..., -1] + SMALL)
    precision = (counts[..., :ORDERS] + TINY) / (counts[..., ORDERS : 2 * ORDERS] + SMALL)
    means = precision.cumprod(axis=-1) ** (1 / np.arange(1, ORDERS + 1))
    return means * np.exp(np.minimum(0.0, 1 - 1 / ratio))[..., None]


def rouge_l(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """ROUGE-L of each clip: (clips,), 0 to 1."""
    from pycocoevalcap.rouge.rouge import Rouge

    return np.asarray(Rouge().compute_score(*_by_number(captions, references))[1], np.float64)


def cider_d(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """CIDEr-D of each clip: (clips,), 0 to 10. Words weigh less the more clips have them in a reference.

    Of one clip it is 0, because each of its words is in all clips.
    """
    from pycocoevalcap.cider.cider import Cider

    return np.asarray(Cider().compute_score(*_by_number(captions, references))[1], np.float64)


def _by_number(
    captions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and captions as the COCO tools take them."""
    return dict(enumerate(map(list, references))), {
        number: [caption] for number, caption in enumerate(captions)
    }
