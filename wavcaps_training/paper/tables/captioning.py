"""Tables VI and X: automated audio captioning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

METRICS = ("BLEU-1", "BLEU-4", "ROUGE-L", "METEOR", "CIDEr", "SPICE", "SPIDEr")


@dataclass(frozen=True)
class CaptionScores:
    """A captioner's scores on one test set, in percent, in the order of `METRICS`."""

    bleu_1: float
    bleu_4: float
    rouge_l: float
    meteor: float
    cider: float
    spice: float
    spider: float


@dataclass(frozen=True)
class CaptioningResult:
    """The rows of a model in Table VI or X: its scores on the two test sets.

    Attributes:
        audiocaps: None: the paper quotes none, like `clotho`.
        others: whether it is a system of others, which the paper quotes.
    """

    model: str
    audiocaps: CaptionScores | None
    clotho: CaptionScores | None
    others: bool = False


def _captioning(
    model: str, *, audiocaps: Sequence[float] = (), clotho: Sequence[float] = (), others: bool = False
) -> CaptioningResult:
    on_audiocaps, on_clotho = (
        CaptionScores(*figures) if figures else None for figures in (audiocaps, clotho)
    )
    return CaptioningResult(model, on_audiocaps, on_clotho, others)


# fmt: off
# Table VI: Automated audio captioning results. A star: trained on the validation set of Clotho, too.
TABLE_VI = (
    _captioning("Prefix", audiocaps=(71.3, 30.9, 50.3, 24.0, 73.3, 17.7, 45.5),
                clotho=(56.0, 16.0, 37.8, 17.0, 39.2, 11.8, 25.5), others=True),
    _captioning("MAAC", clotho=(57.5, 17.4, 37.7, 17.4, 41.9, 11.9, 26.9), others=True),
    _captioning("Netease", clotho=(58.3, 17.7, 38.8, 17.9, 45.6, 12.8, 29.2), others=True),
    _captioning("FeatureCut", clotho=(60.1, 17.9, 38.9, 17.6, 43.6, 12.2, 27.9), others=True),
    _captioning("CLIP-AAC*", clotho=(57.2, 16.9, 37.9, 17.1, 40.7, 11.9, 26.3), others=True),
    _captioning("Netease*", clotho=(58.5, 18.2, 40.0, 18.4, 47.4, 13.5, 30.2), others=True),
    _captioning("ACT", audiocaps=(64.7, 25.2, 46.8, 22.2, 67.9, 16.0, 42.0), others=True),
    _captioning("V-ACT", audiocaps=(69.8, 28.1, 49.4, 23.7, 71.1, 17.2, 44.2), others=True),
    _captioning("BART-tags", audiocaps=(69.9, 26.6, 49.3, 24.1, 75.3, 17.6, 46.5), others=True),
    _captioning("AL-MixGEN", audiocaps=(70.0, 28.9, 50.2, 24.2, 76.9, 18.1, 47.5), others=True),
    _captioning("CNN14-BART (zero-shot)", audiocaps=(55.1, 12.4, 37.1, 18.6, 45.3, 11.9, 28.6),
                clotho=(29.9, 7.2, 29.3, 12.0, 24.8, 8.7, 16.7)),
    _captioning("CNN14-BART (baseline)", audiocaps=(67.0, 26.1, 48.3, 23.1, 72.1, 16.9, 44.5),
                clotho=(56.0, 16.0, 37.0, 17.1, 39.3, 11.7, 25.5)),
    _captioning("CNN14-BART", audiocaps=(69.3, 27.2, 49.9, 24.7, 75.6, 17.9, 46.8),
                clotho=(60.1, 18.0, 40.0, 18.5, 48.8, 13.3, 31.0)),
    _captioning("HTSAT-BART (zero-shot)", audiocaps=(51.3, 11.0, 37.8, 20.4, 39.3, 13.8, 26.7),
                clotho=(36.2, 7.8, 30.0, 12.4, 25.0, 8.6, 16.8)),
    _captioning("HTSAT-BART (baseline)", audiocaps=(67.5, 27.2, 48.3, 23.7, 71.1, 17.7, 44.4),
                clotho=(57.6, 16.4, 38.2, 17.5, 41.5, 11.9, 26.7)),
    _captioning("HTSAT-BART", audiocaps=(70.7, 28.3, 50.7, 25.0, 78.7, 18.2, 48.5),
                clotho=(58.5, 16.8, 38.3, 18.4, 46.2, 13.3, 29.7)),
)

# Table X: Ablation study results of zero-shot automated audio captioning, all of CNN14-BART.
TABLE_X = (
    _captioning("After 1st step (FreeSound subset)", audiocaps=(30.5, 3.0, 24.6, 10.7, 21.2, 5.8, 13.5),
                clotho=(34.9, 3.9, 25.0, 10.3, 16.7, 5.7, 11.2)),
    _captioning("After 3rd step (FreeSound subset)", audiocaps=(34.0, 6.8, 30.0, 12.1, 36.2, 7.7, 22.0),
                clotho=(34.6, 8.3, 31.4, 12.7, 27.2, 9.0, 18.1)),
)
# fmt: on
