"""Table VIII: text-based sound generation on AudioCaps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GenerationResult:
    """A row of Table VIII; None: the paper has none. Of FAD, KL and FD, less is better; of IS, more.

    Attributes:
        train_condition: `Audio` or `Text`: the embedding that the training was conditioned on; or `-`.
        others: whether it is a system of others, which the paper quotes.
    """

    model: str
    train_condition: str
    fad: float
    inception_score: float | None
    kl: float
    fd: float | None
    others: bool = False

    @property
    def columns(self) -> dict[str, float | None]:
        """The figures by the names of the table's columns."""
        return {"FAD": self.fad, "IS": self.inception_score, "KL": self.kl, "FD": self.fd}


def name_in_table_viii(row: GenerationResult) -> str:
    """The name of a row, with what its training was conditioned on."""
    condition = row.train_condition.lower()
    return row.model if condition == "-" else f"{row.model}, {condition} condition"


TABLE_VIII = (
    GenerationResult("DiffSound", "-", 7.75, 4.01, 2.52, 47.68, others=True),
    GenerationResult("AudioGen-base†", "-", 3.13, None, 2.09, None, others=True),
    GenerationResult("AudioLDM LAION", "Audio", 2.98, 7.12, 2.2, 24.04, others=True),
    GenerationResult("AudioLDM LAION", "Text", 2.47, 6.91, 2.25, 24.84, others=True),
    GenerationResult("AudioLDM WavCaps", "Audio", 2.85, 5.42, 2.31, 24.89),
    GenerationResult("AudioLDM WavCaps", "Text", 2.29, 7.05, 2.3, 26.3),
    GenerationResult("AudioLDM WavCaps-FT", "Audio", 2.98, 5.79, 2.17, 21.9),
    GenerationResult("AudioLDM WavCaps-FT", "Text", 2.58, 6.38, 2.23, 25.27),
)
