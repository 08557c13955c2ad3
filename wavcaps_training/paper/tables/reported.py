"""The rows of the paper that experiments are of, by the names that `Experiment.reported_in` uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from wavcaps_training.paper.tables.captioning import (
    METRICS,
    TABLE_VI,
    TABLE_X,
    CaptioningResult,
    CaptionScores,
)
from wavcaps_training.paper.tables.classification import TABLE_VII, ClassificationResult
from wavcaps_training.paper.tables.generation import TABLE_VIII, GenerationResult, name_in_table_viii
from wavcaps_training.paper.tables.retrieval import (
    DEPTHS,
    DIRECTIONS,
    TABLE_IX,
    TABLE_V,
    BenchmarkScores,
    RetrievalResult,
)

TEST_SETS = {
    "audiocaps": "AudioCaps",
    "clotho": "Clotho",
    "esc50": "ESC-50",
    "urbansound8k": "UrbanSound8K",
    "vggsound": "VGGSound",
}
Result = RetrievalResult | CaptioningResult | ClassificationResult | GenerationResult


def name_in_table_v(row: RetrievalResult) -> str:
    """The name of a row of Table V; with what it was trained on, where two rows have the same model."""
    if row.others:
        return f"{row.model} on {row.training_set}" if row.model == "LAION" else row.model
    return f"{row.model} on LA" if "LA" in row.training_set else row.model


# Of the paper's own models.
REPORTED: dict[str, Result] = {
    **{f"Table V, {name_in_table_v(row)}": row for row in TABLE_V if not row.others},
    **{f"Table VI, {row.model}": row for row in TABLE_VI if not row.others},
    **{f"Table VII, {row.model}": row for row in TABLE_VII if not row.others},
    **{f"Table VIII, {name_in_table_viii(row)}": row for row in TABLE_VIII if not row.others},
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
    if isinstance(row, GenerationResult):
        columns = row.columns
        head = f"| {reported_in} | {' | '.join(columns)} |"
        figures = " | ".join("-" if figure is None else f"{figure:g}" for figure in columns.values())
        return f"{head}\n|{' --- |' * (len(columns) + 1)}\n| {TEST_SETS['audiocaps']} | {figures} |"
    if isinstance(row, CaptioningResult):
        names = list(METRICS)
    elif isinstance(row, ClassificationResult):
        names = ["top-1 accuracy"]
    else:
        names = [f"{way} R@{k}" for way in DIRECTIONS.values() for k in DEPTHS]
    lines = [f"| {reported_in} (%) | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for test_set in test_sets:
        figures = " | ".join(f"{figure:.1f}" for figure in _figures(getattr(row, test_set)))
        lines.append(f"| {TEST_SETS[test_set]} | {figures} |")
    return "\n".join(lines)


def _figures(scores: BenchmarkScores | CaptionScores | float | None) -> Iterator[float]:
    if isinstance(scores, BenchmarkScores):
        yield from (*astuple(scores.text_to_audio), *astuple(scores.audio_to_text))
    elif isinstance(scores, CaptionScores):
        yield from astuple(scores)
    elif scores is not None:
        yield scores
