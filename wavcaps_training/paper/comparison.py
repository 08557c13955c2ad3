"""The paper's figures, Tables III and V, compared with what this run measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_assets.analysis.paper_figures import (
    NOTHING,
    TABLE_III,
    WHOLE_SET,
    SetStatistics,
    SourceStatistics,
)
from wavcaps_training.paper.tables import DEPTHS, DIRECTIONS, TABLE_V, TEST_SETS, Recall
from wavcaps_training.tables import PAPER_COMPARISON


def compare(statistics: pa.Table, captions_by: Sequence[str], scores: pa.Table) -> pa.Table:
    """Compares the paper's figures with a run's.

    Args:
        statistics: `tables.analysis.SET_STATISTICS`, this run's Table III.
        captions_by: the models that wrote the captions.
        scores: `tables.RETRIEVAL_SCORES`, on the test split of this run.

    Returns:
        `tables.PAPER_COMPARISON`: all of Table III with the share of clips that each source kept, and
        the HTSAT-BERT rows of Table V except those with LAION-Audio-630K. A missing figure is empty.
    """
    return PAPER_COMPARISON.from_rows([*_compare_sets(statistics, captions_by), *_compare_scores(scores)])


@dataclass(frozen=True)
class _Column:
    """A column of the comparison: its unit, and whether and why it can be compared."""

    unit: str
    in_kind: bool
    note: str


def _compare_sets(statistics: pa.Table, captions_by: Sequence[str]) -> Iterator[dict[str, Any]]:
    authors = ", ".join(captions_by) or "no model yet"
    size = "Another crawl: the number depends on how much was crawled."
    columns = {
        "clips before": _Column("clips", False, size),
        "mean duration before": _Column("s", False, "Other clips; as the source claims, or measured."),
        "mean words before": _Column(
            "words", False, "Other clips; words of the raw description, if there is one."
        ),
        "clips after": _Column("clips", False, size),
        "mean duration after": _Column("s", False, "Other clips; measured on the stored audio."),
        "mean words after": _Column(
            "words", True, f"Captions of other clips; ChatGPT wrote the paper's, these are by: {authors}."
        ),
        "share kept": _Column(
            "%",
            True,
            "The same three stages on other clips; the paper's share is computed from its counts.",
        ),
    }
    measured = {(row["source"], row["stage"]): _statistics(row) for row in statistics.to_pylist()}
    for paper in TABLE_III:
        before = measured.get((paper.source, "before"), NOTHING)
        after = measured.get((paper.source, "after"), NOTHING)
        theirs = _figures(paper.before, paper.after, _share_kept(paper))
        ours = _figures(before, after, _percent(after.clips, before.clips))
        for name, column in columns.items():
            yield _row(("Table III", paper.row, name), theirs[name], ours[name], column)


def _statistics(row: Mapping[str, Any]) -> SetStatistics:
    return SetStatistics(row["clips"], row["mean_duration_s"], row["mean_words"])


def _share_kept(paper: SourceStatistics) -> float | None:
    if paper.source == WHOLE_SET:
        return _percent(paper.after.clips, sum(row.before.clips or 0 for row in TABLE_III))
    return _percent(paper.after.clips, paper.before.clips)


def _percent(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else 100 * part / whole


def _figures(
    before: SetStatistics, after: SetStatistics, share_kept: float | None
) -> dict[str, float | None]:
    return {
        "clips before": before.clips,
        "mean duration before": before.mean_duration_s,
        "mean words before": before.mean_words,
        "clips after": after.clips,
        "mean duration after": after.mean_duration_s,
        "mean words after": after.mean_words,
        "share kept": share_kept,
    }


def _is_of(checkpoint: str, row: str) -> bool:
    """Whether a checkpoint, such as `htsat_bert/demo`, is of the model of a row, such as `HTSAT-BERT-ZS`."""
    return row.lower().replace("-", "_").startswith(checkpoint.partition("/")[0])


def _compare_scores(scores: pa.Table) -> Iterator[dict[str, Any]]:
    trained = {
        (row["direction"], row["metric"]): row for row in scores.to_pylist() if row["model"] == "trained"
    }
    for paper in TABLE_V:
        if not paper.model.startswith("HTSAT-BERT") or "LA" in paper.training_set:
            continue
        for key, name in TEST_SETS.items():
            test_set = getattr(paper, key)
            for direction, words in DIRECTIONS.items():
                recall: Recall = getattr(test_set, direction)
                for k in DEPTHS:
                    found = trained.get((direction, f"R@{k}"))
                    note = f"Another test set: this run's own test split, not {name}'s."
                    if found is not None:
                        if found["checkpoint"] and not _is_of(found["checkpoint"], paper.model):
                            note += f" Another model: {found['checkpoint']}."
                        note += (
                            f" The test set has {found['clips']} clips, and the fewer, the higher the recall."
                        )
                    cell = ("Table V", paper.model, f"{name} {words} R@{k}")
                    measured = None if found is None else found["value"]
                    yield _row(cell, recall.at(k), measured, _Column("%", False, note))


def _row(
    cell: tuple[str, str, str], paper: float | None, measured: float | None, column: _Column
) -> dict[str, Any]:
    """A row of `tables.PAPER_COMPARISON`.

    Args:
        cell: the paper's table, its row and its column.
    """
    table, row, name = cell
    missing = {"the paper": paper is None, "this run": measured is None}
    without = " and ".join(who for who, has_none in missing.items() if has_none)
    return {
        "table": table,
        "row": row,
        "column": name,
        "paper": paper,
        "measured": measured,
        "unit": column.unit,
        "comparable": column.in_kind and not without,
        "note": f"No figure of {without}." if without else column.note,
    }
