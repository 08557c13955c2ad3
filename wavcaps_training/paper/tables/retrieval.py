"""Tables V and IX: audio-language retrieval."""

from __future__ import annotations

from dataclasses import dataclass

DEPTHS = (1, 5, 10)
DIRECTIONS = {"text_to_audio": "text-to-audio", "audio_to_text": "audio-to-text"}


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
class RetrievalResult:
    """A row of Table V or IX: a model, what it was trained on, and its scores on the two test sets.

    Attributes:
        others: whether it is a system of others, which the paper quotes.
    """

    model: str
    training_set: str
    audiocaps: BenchmarkScores
    clotho: BenchmarkScores
    others: bool = False


def _retrieval(model: str, training_set: str, *figures: float, others: bool = False) -> RetrievalResult:
    """A row from its twelve figures, in the table's order."""
    ac_text, ac_audio, clotho_text, clotho_audio = (Recall(*figures[i : i + 3]) for i in range(0, 12, 3))
    audiocaps, clotho = BenchmarkScores(ac_text, ac_audio), BenchmarkScores(clotho_text, clotho_audio)
    return RetrievalResult(model, training_set, audiocaps, clotho, others)


# fmt: off
# Table V: Experimental results of audio-language retrieval. `LA` is LAION-Audio-630K.
TABLE_V = (
    _retrieval("MMT", "AC or Clotho",
               36.1, 72.0, 84.5, 39.6, 76.8, 86.7, 6.7, 21.6, 33.2, 7.0, 22.7, 34.6, others=True),
    _retrieval("ML-ASE", "AC or Clotho",
               33.9, 69.7, 82.6, 39.4, 72.0, 83.9, 14.4, 36.6, 49.9, 16.2, 37.6, 50.2, others=True),
    _retrieval("TAP", "AC or Clotho",
               36.1, 72.0, 85.2, 41.3, 75.5, 86.1, 16.2, 39.2, 50.8, 17.6, 39.6, 51.4, others=True),
    _retrieval("CLAP-HTSAT", "AC+Clotho+WavText5K",
               34.6, 70.2, 82.0, 41.9, 73.1, 84.6, 16.7, 41.1, 54.1, 20.0, 44.9, 58.7, others=True),
    _retrieval("LAION", "AC+Clotho",
               36.7, 70.9, 83.2, 45.3, 78.0, 87.7, 12.0, 31.6, 43.9, 15.7, 36.9, 51.3, others=True),
    _retrieval("LAION", "AC+Clotho+LA",
               32.7, 68.0, 81.2, 43.9, 77.7, 87.6, 15.6, 38.6, 52.3, 23.7, 48.9, 59.9, others=True),
    _retrieval("LAION", "AC+Clotho+LA+AudioSet",
               36.1, 71.8, 83.9, 46.8, 82.9, 90.7, 16.1, 38.3, 51.1, 22.7, 48.5, 60.8, others=True),
    _retrieval("LAION (fusion)", "AC+Clotho+LA+AudioSet",
               35.1, 71.5, 83.6, 45.8, 80.9, 91.6, 18.2, 42.5, 54.4, 25.7, 51.5, 63.4, others=True),
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
# fmt: on
