"""The paper's figures next to this store's, arranged for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_training.paper.stored_scores import StoredScores

GROUPS = ("AudioCaps", "Clotho")
TEXT = "text"
TITLES = {
    "Table III": "the data before and after processing",
    "Table IV": "data sets, as far as the paper's text gives figures",
    "Table V": "retrieval",
    "Table VI": "captioning",
    "Table VII": "zero-shot classification",
    "Table VIII": "sound generation",
    "Table IX": "retrieval, by step of the processing",
    "Table X": "captioning, by step of the processing",
}


@dataclass(frozen=True)
class PaperCell:
    """The paper's figure and this store's, as in `tables.PAPER_COMPARISON`.

    Attributes:
        new_note: whether its note is not that of the cell before it.
        note: the number of the note in its `PaperTable`, from 1; 0: none.
    """

    paper: float | None
    measured: float | None
    low: float | None
    high: float | None
    difference: float | None
    comparable: bool
    unit: str
    note: int
    new_note: bool


@dataclass(frozen=True)
class PaperRow:
    """A row of a table of the paper.

    Attributes:
        of_others: whether it is a system of others.
        cells: one for each of the table's columns; None: the row has none there.
        missing: why cells have no figure of this store; empty: all have one.
    """

    name: str
    of_others: bool
    cells: tuple[PaperCell | None, ...]
    missing: tuple[str, ...]

    @property
    def measured(self) -> bool:
        """Whether there is a figure of this store."""
        return any(cell is not None and cell.measured is not None for cell in self.cells)


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables with this store's figures.

    Attributes:
        groups: names of groups of columns, with the number of columns of each.
        columns: the names of the columns inside their groups, with their units.
    """

    name: str
    title: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[PaperRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PaperText:
    """A pair of texts of Table II, and one of this store; empty: there is none."""

    row: str
    text: str
    caption: str
    own_text: str
    own_caption: str


def lay_out(comparison: pa.Table) -> tuple[PaperTable, ...]:
    """The tables of figures of `tables.PAPER_COMPARISON`, also of one that an older version wrote."""
    by_table: dict[str, list[dict[str, Any]]] = {}
    for row in comparison.to_pylist():
        if row["unit"] != TEXT:
            by_table.setdefault(row["table"], []).append(row)
    return tuple(_table(name, rows) for name, rows in by_table.items())


def lay_out_texts(comparison: pa.Table) -> tuple[PaperText, ...]:
    """The texts of Table II."""
    pairs: dict[str, dict[str, dict[str, Any]]] = {}
    for row in comparison.to_pylist():
        if row["unit"] == TEXT:
            pairs.setdefault(row["row"], {})[row["column"]] = row
    return tuple(
        PaperText(
            name,
            pair["raw description"]["paper_text"] or "",
            pair["caption"]["paper_text"] or "",
            pair["raw description"]["measured_text"] or "",
            pair["caption"]["measured_text"] or "",
        )
        for name, pair in pairs.items()
    )


def outdated(comparison: pa.Table, scores: Mapping[tuple[str, ...], StoredScores]) -> list[str]:
    """The assets of scores that are newer than the comparison, or gone since.

    Args:
        scores: the tables of scores that exist now, by the keys of their assets.
    """
    now = {
        "/".join(key): next((row["weights_sha256"] for row in stored.trained), None)
        for key, stored in scores.items()
    }
    compared: dict[str, str | None] = {}
    for row in comparison.to_pylist():
        if row["scores"] is not None:
            compared[row["scores"]] = compared.get(row["scores"]) or row["weights_sha256"]
    return sorted(asset for asset, sha256 in compared.items() if now.get(asset) != sha256)


def _table(name: str, rows: Sequence[dict[str, Any]]) -> PaperTable:
    columns = {row["column"]: row["unit"] for row in rows}
    measured = [row for row in rows if row["measured"] is not None]
    notes = list(dict.fromkeys(row["note"] for row in measured if row["note"]))
    by_row: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_row.setdefault(row["row"], {})[row["column"]] = row
    split = [_split(column) for column in columns]
    groups: list[tuple[str, int]] = []
    for group, _ in split:
        if groups and groups[-1][0] == group:
            groups[-1] = (group, groups[-1][1] + 1)
        else:
            groups.append((group, 1))
    return PaperTable(
        name,
        TITLES.get(name, ""),
        tuple(groups),
        tuple((short, unit) for (_, short), unit in zip(split, columns.values(), strict=True)),
        tuple(_row(row, cells, list(columns), notes) for row, cells in by_row.items()),
        tuple(notes),
    )


def _split(column: str) -> tuple[str, str]:
    """The group of a column and its name there: `AudioCaps text-to-audio` and `R@1`."""
    if column.split(" ")[0] not in GROUPS:
        return "", column
    group, _, short = column.rpartition(" ")
    return group, short


def _row(
    name: str, cells: Mapping[str, dict[str, Any]], columns: Sequence[str], notes: Sequence[str]
) -> PaperRow:
    laid_out: list[PaperCell | None] = []
    before = 0
    for column in columns:
        row = cells.get(column)
        if row is None:
            laid_out.append(None)
            continue
        note = notes.index(row["note"]) + 1 if row["measured"] is not None and row["note"] else 0
        figures = {key: row[key] for key in ("paper", "measured", "low", "high", "difference", "unit")}
        laid_out.append(
            PaperCell(
                **figures, comparable=row["comparable"], note=note, new_note=bool(note) and note != before
            )
        )
        before = note
    of_others = all(row["status"] in ("of others", "no figure") for row in cells.values())
    return PaperRow(name, of_others, tuple(laid_out), () if of_others else tuple(_missing(cells)))


def _missing(cells: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Why cells have no figure of this store: what was not measured, and the assets that were not run."""
    unmeasured = [row for row in cells.values() if row["measured"] is None]
    # Older tables have no status.
    said = [row for row in unmeasured if row["status"] in ("not measured", None)]
    yield from dict.fromkeys(row["note"] for row in said)
    not_run = [row for row in unmeasured if row["status"] == "not run"]
    needs = dict.fromkeys(asset for row in not_run if row["needs"] for asset in row["needs"].split(", "))
    if needs:
        yield f"not run: needs {', '.join(needs)}"
    yield from dict.fromkeys(row["note"] for row in not_run if not row["needs"])
