"""The field's best results next to the paper's, as the report shows them."""

from __future__ import annotations

from dataclasses import dataclass

from wavcaps_training.paper.tables.field import FIELD, PAPER_BEST, FieldResult, PaperBest
from wavcaps_training.paper.tables.reported import TEST_SETS

TRAINED_ON = {True: "yes", False: "no", None: "not known"}


@dataclass(frozen=True)
class FieldLine:
    """A metric on a benchmark, with the paper's best figure and those of others.

    Attributes:
        paper: None: the paper has none.
        results: those of others; empty: none was found that is better.
    """

    task: str
    benchmark: str
    metric: str
    paper: PaperBest | None
    results: tuple[FieldResult, ...]


def field_lines() -> tuple[FieldLine, ...]:
    """All metrics that the paper or the field has a figure of, the paper's first."""
    places = dict.fromkeys([*PAPER_BEST, *((one.task, one.benchmark, one.metric) for one in FIELD)])
    return tuple(
        FieldLine(
            task,
            TEST_SETS[benchmark],
            metric,
            PAPER_BEST.get((task, benchmark, metric)),
            tuple(one for one in FIELD if (one.task, one.benchmark, one.metric) == (task, benchmark, metric)),
        )
        for task, benchmark, metric in places
    )
