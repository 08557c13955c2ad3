"""All metrics of captions against references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from wavcaps_assets.caption_metrics.bleu import bleu
from wavcaps_assets.caption_metrics.cider import cider_d
from wavcaps_assets.caption_metrics.meteor import meteor
from wavcaps_assets.caption_metrics.rouge import rouge_l
from wavcaps_assets.caption_metrics.tokens import tokens


@dataclass(frozen=True)
class Scores:
    """Metrics of captions: CIDEr-D from 0 to 10, the others from 0 to 1.

    METEOR is the version in `meteor.py`, not METEOR 1.5.
    """

    bleu_1: float
    bleu_2: float
    bleu_3: float
    bleu_4: float
    rouge_l: float
    meteor: float
    cider_d: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def score(captions: Sequence[str | None], references: Sequence[Sequence[str]]) -> Scores:
    """Compares captions with references for the same clips.

    Args:
        captions: one a clip. None counts as an empty caption.
        references: at least one reference caption for each clip.

    Raises:
        ValueError: there are no captions, or a clip has no reference.
    """
    if not captions:
        raise ValueError("there are no captions to compare")
    if len(captions) != len(references) or not all(references):
        raise ValueError(f"each of the {len(captions)} captions needs at least one reference")
    words = [tokens(caption or "") for caption in captions]
    known = [[tokens(reference) for reference in own] for own in references]
    pairs = list(zip(words, known, strict=True))
    bleu_1, bleu_2, bleu_3, bleu_4 = bleu(words, known)
    return Scores(
        bleu_1=bleu_1,
        bleu_2=bleu_2,
        bleu_3=bleu_3,
        bleu_4=bleu_4,
        rouge_l=sum(rouge_l(one, own) for one, own in pairs) / len(pairs),
        meteor=sum(meteor(one, own) for one, own in pairs) / len(pairs),
        cider_d=sum(cider_d(words, known)) / len(pairs),
    )
