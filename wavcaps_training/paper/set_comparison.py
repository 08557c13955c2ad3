"""Tables II to IV, the data set itself, next to this store's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_assets.analysis.paper_figures import (
    DATA_SETS,
    NOTHING,
    TABLE_III,
    WHOLE_SET,
    SetStatistics,
    SourceStatistics,
)
from wavcaps_training.paper.tables.examples import TABLE_II

OWN_SET = "WavCaps (the paper's)"
ANOTHER_CRAWL = "Another crawl: the number depends on how much was crawled."


@dataclass(frozen=True)
class _Column:
    """A column of the comparison: its unit, and whether and why it can be compared."""

    unit: str
    in_kind: bool
    note: str


def compare_examples(examples: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of Table II, each with a pair of texts of the same source, drawn by seed.

    Args:
        examples: `tables.analysis.EXAMPLES`.
    """
    ours: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in examples.to_pylist():
        ours[row["source"]].append(row)
    places: dict[str, int] = defaultdict(int)
    for pair in TABLE_II:
        place = places[pair.source]
        places[pair.source] += 1
        own = ours[pair.source][place] if place < len(ours[pair.source]) else None
        texts = {"raw description": (pair.text, "text"), "caption": (pair.caption, "caption")}
        for column, (theirs, name) in texts.items():
            yield {
                "table": "Table II",
                "row": f"{pair.row} {place + 1}",
                "column": column,
                "paper": None,
                "measured": None,
                "unit": "text",
                "comparable": False,
                "paper_text": theirs,
                "measured_text": own[name] if own is not None else None,
                "status": "not run" if own is None else "not comparable",
                "needs": "analysis/examples" if own is None else None,
                "note": "not run: needs analysis/examples" if own is None else "Another clip, drawn by seed.",
            }


def compare_sets(statistics: pa.Table, captions_by: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of Table III, with the share of clips that each source kept.

    Args:
        statistics: `tables.analysis.SET_STATISTICS`.
        captions_by: the models that wrote the captions.
    """
    authors = ", ".join(captions_by) or "no model yet"
    columns = {
        "clips before": _Column("clips", False, ANOTHER_CRAWL),
        "mean duration before": _Column("s", False, "Other clips; as the source claims, or measured."),
        "mean words before": _Column(
            "words", False, "Other clips; words of the raw description, if there is one."
        ),
        "clips after": _Column("clips", False, ANOTHER_CRAWL),
        "mean duration after": _Column("s", False, "Other clips; measured on the stored audio."),
        "mean words after": _Column("words", True, _captions_note(authors)),
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


def compare_other_sets(statistics: pa.Table, captions_by: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What the paper's text says of the sets of Table IV; the arguments are those of `compare_sets`."""
    authors = ", ".join(captions_by) or "no model yet"
    columns = {
        "clips": _Column("clips", False, ANOTHER_CRAWL),
        "hours": _Column("h", False, ANOTHER_CRAWL),
        "mean words": _Column("words", True, _captions_note(authors)),
    }
    after = next(
        (
            _statistics(row)
            for row in statistics.to_pylist()
            if (row["source"], row["stage"]) == (WHOLE_SET, "after")
        ),
        NOTHING,
    )
    ours = {"clips": after.clips, "hours": after.hours, "mean words": after.mean_words}
    for data_set in DATA_SETS:
        theirs = {"clips": data_set.clips, "hours": data_set.hours, "mean words": data_set.mean_words}
        for name, column in columns.items():
            row = _row(("Table IV", data_set.data_set, name), theirs[name], ours[name], column)
            if data_set.data_set != OWN_SET:
                row |= {"measured": None, "comparable": False, "difference": None}
                row |= {"note": f"A set of others. {data_set.provenance}."}
                row |= {"status": "no figure" if theirs[name] is None else "of others"}
            yield row


def _captions_note(authors: str) -> str:
    return f"Captions of other clips; ChatGPT wrote the paper's, these are by: {authors}."


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


def _row(
    cell: tuple[str, str, str], paper: float | None, measured: float | None, column: _Column
) -> dict[str, Any]:
    """A row of `tables.PAPER_COMPARISON`.

    Args:
        cell: the paper's table, its row and its column.
    """
    table, row, name = cell
    missing = {"the paper": paper is None, "this store": measured is None}
    without = " and ".join(who for who, has_none in missing.items() if has_none)
    comparable = column.in_kind and not without
    status = "compared" if comparable else "not comparable"
    if paper is None:
        status = "no figure"
    elif measured is None:
        status = "not run"
    return {
        "table": table,
        "row": row,
        "column": name,
        "paper": paper,
        "measured": measured,
        "unit": column.unit,
        "comparable": comparable,
        "difference": measured - paper if comparable and measured is not None and paper is not None else None,
        "status": status,
        "needs": "analysis/set_statistics" if status == "not run" else None,
        "note": f"No figure of {without}." if without else column.note,
    }
