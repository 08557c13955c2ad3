"""The best results that were found in the field in November 2026, next to the paper's.

Protocols differ, often in silence. `mark` says how well a figure is known: `V` read at its source, `A` in an
abstract or on the opening of a page only, `S` in a secondary source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SEEN = "November 2026"
MARKS = {
    "V": "read at the source",
    "A": "abstract or opening of the page only",
    "S": "secondary source",
}
Mark = Literal["V", "A", "S"]

AUROLA = "https://github.com/Jazzcharles/AuroLA (arXiv 2602.18010)"
SLAP = "https://arxiv.org/abs/2601.12594"
PE_AV = "https://arxiv.org/abs/2512.19687"
AUTOCAP = "https://arxiv.org/abs/2406.19388"


@dataclass(frozen=True)
class FieldResult:
    """A figure that others report.

    Attributes:
        task: `retrieval`, `captioning`, `classification` or `generation`.
        benchmark: as in `benchmark_sets.benchmarks`.
        metric: such as `R@1, text to audio`.
        system: whose.
        value: the figure, in percent where the paper's is.
        mark: how well it is known.
        source: a link, or where it was found.
        trained_on_benchmark: whether it was trained on this benchmark's train split; None: not known.
        note: what differs; empty: nothing that is known.
    """

    task: str
    benchmark: str
    metric: str
    system: str
    value: float
    mark: Mark
    source: str
    trained_on_benchmark: bool | None = None
    note: str = ""


TO_AUDIO, TO_TEXT = "R@1, text to audio", "R@1, audio to text"
RE_RANKED, SINGLE_PASS = "re-ranked", "a single pass"


def _recall(
    benchmark: str,
    system: str,
    both: tuple[float | None, float | None],
    known: tuple[Mark, str, bool | None],
    note: str = "",
) -> tuple[FieldResult, ...]:
    """R@1 from text to audio and from audio to text; None: there is none."""
    mark, source, trained = known
    return tuple(
        FieldResult("retrieval", benchmark, metric, system, value, mark, source, trained, note)
        for metric, value in zip((TO_AUDIO, TO_TEXT), both, strict=True)
        if value is not None
    )


FIELD = (
    *_recall("audiocaps", "AuroLA-7B", (51.0, 65.6), ("V", AUROLA, True), RE_RANKED),
    *_recall("audiocaps", "AuroLA-7B", (46.8, 64.0), ("V", AUROLA, True), SINGLE_PASS),
    *_recall("audiocaps", "SLAP", (47.5, 63.4), ("S", SLAP, None)),
    *_recall("audiocaps", "AuroLA-7B-PT", (43.3, 53.0), ("V", AUROLA, False)),
    *_recall("audiocaps", "PE-AV", (45.8, None), ("V", PE_AV, None)),
    *_recall("clotho", "AuroLA-7B", (28.2, 38.6), ("V", AUROLA, True), RE_RANKED),
    *_recall("clotho", "AuroLA-3B", (None, 38.9), ("V", AUROLA, True)),
    *_recall("clotho", "SLAP", (27.2, 36.8), ("S", SLAP, None)),
    *_recall("clotho", "AuroLA-7B-PT", (26.0, 34.4), ("V", AUROLA, False)),
    FieldResult("captioning", "audiocaps", "SPIDEr", "SLAM-AAC", 51.8, "S", "secondary: no link was kept"),
    FieldResult("captioning", "audiocaps", "CIDEr", "AutoCap", 83.2, "A", AUTOCAP),
    FieldResult(
        "classification", "esc50", "accuracy", "SLAP", 98.2, "S", SLAP, note="whether zero-shot is not stated"
    ),
    FieldResult("generation", "audiocaps", "FD-openl3", "TangoFlux", 75.1, "V", "TangoFlux"),
    FieldResult("generation", "audiocaps", "KL", "TangoFlux", 1.15, "V", "TangoFlux"),
    FieldResult("generation", "audiocaps", "CLAP", "TangoFlux", 0.480, "V", "TangoFlux"),
    FieldResult("generation", "audiocaps", "IS", "TangoFlux", 12.2, "V", "TangoFlux"),
    FieldResult(
        "generation",
        "audiocaps",
        "FAD",
        "AudioLDM 2",
        1.42,
        "S",
        "secondary: no link was kept",
        note="variants of FAD cannot be compared",
    ),
)


@dataclass(frozen=True)
class PaperBest:
    """The paper's best figure of a metric, with its table and row."""

    value: float
    where: str


# By task, benchmark and metric. Of the field's other metrics, the paper has none.
PAPER_BEST = {
    ("retrieval", "audiocaps", TO_AUDIO): PaperBest(42.2, "Table V, HTSAT-BERT-FT"),
    ("retrieval", "audiocaps", TO_TEXT): PaperBest(54.6, "Table V, HTSAT-BERT-FT"),
    ("retrieval", "clotho", TO_AUDIO): PaperBest(21.5, "Table V, CNN14-BERT-FT"),
    ("retrieval", "clotho", TO_TEXT): PaperBest(27.1, "Table V, CNN14-BERT-FT"),
    ("captioning", "audiocaps", "SPIDEr"): PaperBest(48.5, "Table VI, HTSAT-BART"),
    ("captioning", "audiocaps", "CIDEr"): PaperBest(78.7, "Table VI, HTSAT-BART"),
    ("classification", "esc50", "accuracy"): PaperBest(94.8, "Table VII, Ours"),
    ("classification", "urbansound8k", "accuracy"): PaperBest(80.6, "Table VII, Ours"),
    ("classification", "vggsound", "accuracy"): PaperBest(29.6, "Table VII, Ours"),
    ("generation", "audiocaps", "FAD"): PaperBest(2.29, "Table VIII, AudioLDM WavCaps, Text"),
    ("generation", "audiocaps", "KL"): PaperBest(2.17, "Table VIII, AudioLDM WavCaps-FT, Audio"),
    ("generation", "audiocaps", "IS"): PaperBest(7.05, "Table VIII, AudioLDM WavCaps, Text"),
}
