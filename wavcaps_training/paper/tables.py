"""The paper's scores of its own models, as data: Tables V, VI, IX and X.

Source: X. Mei et al., "WavCaps: A ChatGPT-Assisted Weakly-Labelled Audio Captioning Dataset for
Audio-Language Multimodal Research" (https://arxiv.org/abs/2303.17395).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

DEPTHS = (1, 5, 10)
DIRECTIONS = {"text_to_audio": "text-to-audio", "audio_to_text": "audio-to-text"}
TEST_SETS = {"audiocaps": "AudioCaps", "clotho": "Clotho"}
METRICS = ("BLEU-1", "BLEU-4", "ROUGE-L", "METEOR", "CIDEr", "SPICE", "SPIDEr")


@dataclass(frozen=True)
class Recall:
    """R@1, R@5 and R@10 in percent."""

    at_1: float
    at_5: float
    at_10: float

    def at(self, k: int) -> float:
        """Recall at 1, 5 or 10."""
        return {1: self.at_1, 5: self.at_5, 10: self.at_10}[k]


@dataclass(frozen=True)
class BenchmarkScores:
    """A model's scores on one test set, in both directions."""

    text_to_audio: Recall
    audio_to_text: Recall


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
class RetrievalResult:
    """A row of Table V or IX: a model, what it was trained on, and its scores on the two test sets."""

    model: str
    training_set: str
    audiocaps: BenchmarkScores
    clotho: BenchmarkScores


@dataclass(frozen=True)
class CaptioningResult:
    """Both rows of a model in Table VI or X: its scores on the two test sets."""

    model: str
    audiocaps: CaptionScores
    clotho: CaptionScores


def _retrieval(model: str, training_set: str, *figures: float) -> RetrievalResult:
    """A row from its twelve figures, in the table's order."""
    ac_text, ac_audio, clotho_text, clotho_audio = (Recall(*figures[i : i + 3]) for i in range(0, 12, 3))
    return RetrievalResult(
        model, training_set, BenchmarkScores(ac_text, ac_audio), BenchmarkScores(clotho_text, clotho_audio)
    )


def _captioning(model: str, *, audiocaps: Sequence[float], clotho: Sequence[float]) -> CaptioningResult:
    return CaptioningResult(model, CaptionScores(*audiocaps), CaptionScores(*clotho))


# fmt: off
# Table V: Experimental results of audio-language retrieval. `LA` is LAION-Audio-630K.
TABLE_V = (
    _retrieval("HTSAT-BERT-ZS", "LA",
               14.4, 39.4, 53.9, 15.3, 40.1, 56.2, 13.8, 35.5, 47.4, 15.8, 39.7, 51.8),
    _retrieval("HTSAT-BERT-PT", "AC+Clotho+LA",
               34.2, 69.6, 83.3, 41.9, 76.2, 85.5, 17.4, 43.0, 56.0, 23.9, 46.4, 61.3),
    _retrieval("CNN14-BERT", "AC+Clotho",
               30.3, 66.1, 79.7, 36.7, 70.6, 83.0, 15.6, 39.7, 52.6, 19.9, 41.2, 55.9),
    _retrieval("CNN14-BERT-ZS", "WavCaps",
               25.4, 58.2, 73.2, 32.4, 63.6, 77.1, 17.5, 41.7, 54.9, 21.7, 45.7, 57.6),
    _retrieval("CNN14-BERT-PT", "AC+Clotho+WavCaps",
               34.7, 69.1, 82.5, 44.6, 76.3, 86.2, 21.2, 46.4, 59.4, 25.9, 52.6, 65.8),
    _retrieval("CNN14-BERT-FT", "AC+Clotho+WavCaps",
               35.1, 70.0, 82.1, 45.7, 76.1, 87.7, 21.5, 47.9, 61.9, 27.1, 52.7, 66.3),
    _retrieval("HTSAT-BERT", "AC+Clotho",
               39.2, 74.9, 86.5, 49.5, 81.9, 91.5, 15.6, 38.4, 52.0, 21.0, 43.8, 55.7),
    _retrieval("HTSAT-BERT-ZS", "WavCaps",
               28.6, 61.1, 75.8, 40.2, 69.4, 80.3, 16.5, 38.8, 50.9, 20.0, 43.3, 56.6),
    _retrieval("HTSAT-BERT-PT", "AC+Clotho+WavCaps",
               39.7, 74.5, 86.1, 51.7, 82.3, 90.6, 19.5, 45.2, 58.2, 23.4, 50.9, 63.4),
    _retrieval("HTSAT-BERT-FT", "AC+Clotho+WavCaps",
               42.2, 76.5, 87.1, 54.6, 85.2, 92.4, 19.7, 45.7, 59.4, 26.9, 52.6, 64.9),
)

# Table VI: Automated audio captioning results.
TABLE_VI = (
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

# Table IX: Ablation study results of zero-shot audio-language retrieval, all of HTSAT-BERT.
TABLE_IX = (
    _retrieval("HTSAT-BERT", "Before 1st step (FreeSound subset)",
               12.9, 37.0, 51.8, 13.8, 38.2, 55.1, 12.5, 36.2, 46.9, 15.4, 36.8, 48.3),
    _retrieval("HTSAT-BERT", "After 1st step (FreeSound subset)",
               15.6, 43.2, 59.6, 19.4, 46.8, 62.8, 14.3, 36.8, 49.4, 16.5, 39.0, 52.3),
    _retrieval("HTSAT-BERT", "After 3rd step (FreeSound subset)",
               17.3, 46.3, 61.8, 20.9, 49.1, 64.7, 14.8, 37.6, 51.1, 17.0, 39.8, 52.7),
    _retrieval("HTSAT-BERT", "WavCaps",
               28.6, 61.1, 75.8, 40.2, 69.4, 80.3, 16.5, 38.8, 50.9, 20.0, 43.3, 56.6),
)

# Table X: Ablation study results of zero-shot automated audio captioning, all of CNN14-BART.
TABLE_X = (
    _captioning("After 1st step (FreeSound subset)", audiocaps=(30.5, 3.0, 24.6, 10.7, 21.2, 5.8, 13.5),
                clotho=(34.9, 3.9, 25.0, 10.3, 16.7, 5.7, 11.2)),
    _captioning("After 3rd step (FreeSound subset)", audiocaps=(34.0, 6.8, 30.0, 12.1, 36.2, 7.7, 22.0),
                clotho=(34.6, 8.3, 31.4, 12.7, 27.2, 9.0, 18.1)),
)
# fmt: on

# The rows, by the names that experiments use (`Experiment.reported_in`).
REPORTED: dict[str, RetrievalResult | CaptioningResult] = {
    **{f"Table V, {row.model}{' on LA' if 'LA' in row.training_set else ''}": row for row in TABLE_V},
    **{f"Table VI, {row.model}": row for row in TABLE_VI},
    **{f"Table IX, {row.training_set}": row for row in TABLE_IX},
    **{f"Table X, {row.model}": row for row in TABLE_X},
}


def reported_figures(reported_in: str, test_sets: Sequence[str]) -> str:
    """The figures of a row as a Markdown table.

    Args:
        reported_in: a key of `REPORTED`.
        test_sets: of `TEST_SETS`.
    """
    row = REPORTED[reported_in]
    if isinstance(row, CaptioningResult):
        names = list(METRICS)
    else:
        names = [f"{way} R@{k}" for way in DIRECTIONS.values() for k in DEPTHS]
    lines = [f"| {reported_in} (%) | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for test_set in test_sets:
        figures = " | ".join(f"{figure:.1f}" for figure in _figures(getattr(row, test_set)))
        lines.append(f"| {TEST_SETS[test_set]} | {figures} |")
    return "\n".join(lines)


def _figures(scores: BenchmarkScores | CaptionScores) -> Iterator[float]:
    if isinstance(scores, CaptionScores):
        yield from astuple(scores)
    else:
        yield from (*astuple(scores.text_to_audio), *astuple(scores.audio_to_text))
