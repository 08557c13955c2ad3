"""The figures of Tables V to X as cells, each with the score that would be its like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace

from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment
from wavcaps_training.paper.released import RELEASED_MODELS, ReleasedModel
from wavcaps_training.paper.tables.captioning import METRICS, TABLE_VI, TABLE_X
from wavcaps_training.paper.tables.classification import TABLE_VII
from wavcaps_training.paper.tables.generation import TABLE_VIII, name_in_table_viii
from wavcaps_training.paper.tables.reported import TEST_SETS, name_in_table_v
from wavcaps_training.paper.tables.retrieval import DEPTHS, DIRECTIONS, TABLE_IX, TABLE_V, RetrievalResult

OF_OTHERS = "A system of others, which the paper quotes and this project does not train."
# Rows of another table with the same model and the same figures.
SAME_ROW = {"Table IX, WavCaps": "Table V, HTSAT-BERT-ZS"}


@dataclass(frozen=True)
class Wanted:
    """The score that would be the like of a figure.

    Attributes:
        experiment: whose checkpoint is scored; or the checkpoint that the paper's authors released.
        task: `retrieval`, `captioning`, `classification` or `generation`.
        benchmark: on which benchmark.
        metrics: the names of the score in tables of scores; the first that is there counts.
        direction: of retrieval; empty: none.
    """

    experiment: Experiment | ReleasedModel
    task: str
    benchmark: str
    metrics: tuple[str, ...]
    direction: str = ""

    @property
    def scores_key(self) -> tuple[str, ...]:
        """The key of the asset that has it."""
        return ("scores", self.task, self.benchmark, *self.experiment.name.split("/"))


@dataclass(frozen=True)
class Cell:
    """A figure of the paper.

    Attributes:
        table: such as `Table V`.
        row: the row of that table.
        column: the column of that table.
        paper: the figure; None: the paper has none there.
        unit: its unit.
        wanted: its like; None: there can be none.
        of_others: whether it is of a system of others.
        note: why there can be none, or what the paper says of the row.
    """

    table: str
    row: str
    column: str
    paper: float | None
    unit: str = "%"
    wanted: Wanted | None = None
    of_others: bool = False
    note: str = ""


def score_cells() -> Iterator[Cell]:
    """All cells of Tables V to X, in the paper's order."""
    for row in TABLE_V:
        yield from _retrieval("Table V", name_in_table_v(row), row)
    for captioner in TABLE_VI:
        yield from _captioning("Table VI", captioner.model)
    yield from _classification()
    yield from _generation()
    for row in TABLE_IX:
        yield from _retrieval("Table IX", row.training_set, row)
    for captioner in TABLE_X:
        yield from _captioning("Table X", captioner.model)


def released_cells() -> Iterator[Cell]:
    """The same figures next to scores of the checkpoints that the paper's authors released."""
    for cell in score_cells():
        wanted = cell.wanted
        if wanted is None:
            continue
        for released in RELEASED_MODELS:
            same_row = released.reported_in == f"{cell.table}, {cell.row}"
            if same_row and wanted.benchmark in released.reported_on:
                name = f"{cell.row}, released weights"
                yield replace(cell, row=name, wanted=replace(wanted, experiment=released))


def experiment_of(table: str, row: str, benchmark: str) -> Experiment | None:
    """The experiment of a row of the paper on a benchmark; None: it is a system of others."""
    name = f"{table}, {row}"
    name = SAME_ROW.get(name, name)
    return next(
        (one for one in EXPERIMENTS if one.reported_in == name and benchmark in one.reported_on), None
    )


def _wanted(
    experiment: Experiment | None, task: str, benchmark: str, metrics: tuple[str, ...], direction: str = ""
) -> Wanted | None:
    return None if experiment is None else Wanted(experiment, task, benchmark, metrics, direction)


def _cell(place: tuple[str, str, str], paper: float | None, wanted: Wanted | None, note: str = "") -> Cell:
    """A cell in percent; without a score that is wanted, it is of a system of others.

    Args:
        place: table, row and column.
    """
    said = note if wanted else " ".join(filter(None, (OF_OTHERS, note)))
    return Cell(*place, paper, wanted=wanted, of_others=wanted is None, note=said)


def _retrieval(table: str, row: str, result: RetrievalResult) -> Iterator[Cell]:
    for benchmark, scores in (("audiocaps", result.audiocaps), ("clotho", result.clotho)):
        experiment = experiment_of(table, row, benchmark)
        for direction, words in DIRECTIONS.items():
            for k in DEPTHS:
                column = f"{TEST_SETS[benchmark]} {words} R@{k}"
                wanted = _wanted(experiment, "retrieval", benchmark, (f"R@{k}",), direction)
                yield _cell((table, row, column), getattr(scores, direction).at(k), wanted)


def _captioning(table: str, row: str) -> Iterator[Cell]:
    result = next(one for one in (*TABLE_VI, *TABLE_X) if one.model == row)
    for benchmark, scores in (("audiocaps", result.audiocaps), ("clotho", result.clotho)):
        if scores is None:
            continue
        experiment = experiment_of(table, row, benchmark)
        for metric, figure in zip(METRICS, astuple(scores), strict=True):
            # What the paper and its tools call CIDEr is CIDEr-D.
            names = ("CIDEr-D", "CIDEr") if metric == "CIDEr" else (metric,)
            wanted = _wanted(experiment, "captioning", benchmark, names)
            yield _cell((table, row, f"{TEST_SETS[benchmark]} {metric}"), figure, wanted)


def _classification() -> Iterator[Cell]:
    for row in TABLE_VII:
        for benchmark in ("esc50", "urbansound8k", "vggsound"):
            experiment = experiment_of("Table VII", row.model, benchmark)
            wanted = _wanted(experiment, "classification", benchmark, ("accuracy",))
            figure = getattr(row, benchmark)
            yield _cell(("Table VII", row.model, TEST_SETS[benchmark]), figure, wanted, row.note)


def _generation() -> Iterator[Cell]:
    for row in TABLE_VIII:
        name = name_in_table_viii(row)
        experiment = experiment_of("Table VIII", name, "audiocaps")
        for column, figure in row.columns.items():
            wanted = _wanted(experiment, "generation", "audiocaps", (column,))
            note = "" if wanted else OF_OTHERS
            yield Cell("Table VIII", name, column, figure, "", wanted, of_others=row.others, note=note)
