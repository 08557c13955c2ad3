"""Table VII: zero-shot audio classification."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassificationResult:
    """A row of Table VII: top-1 accuracies in percent; None: the paper has none.

    Attributes:
        others: whether it is a system of others, which the paper quotes.
        note: what the paper says of the row; empty: nothing.
    """

    model: str
    esc50: float | None
    urbansound8k: float | None
    vggsound: float | None
    others: bool = True
    note: str = ""


TABLE_VII = (
    ClassificationResult("Supervised SOTA", 98.1, 90.0, 75.4, note="Not zero-shot, and of three systems."),
    ClassificationResult("Wav2CLIP", 41.4, 40.4, 10.0),
    ClassificationResult("AudioCLIP", 69.4, 65.3, None),
    ClassificationResult("CLAP", 82.6, 73.2, None),
    ClassificationResult("BLAT", 80.6, 77.3, 14.9),
    ClassificationResult(
        "LAION",
        91.0,
        77.0,
        29.1,
        note="46.2 on VGGSound with AudioSet in the training, which overlaps with VGGSound.",
    ),
    ClassificationResult("Ours", 94.8, 80.6, 29.6, others=False),
)
