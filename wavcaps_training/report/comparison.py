"""The paper's figures next to this run's, arranged for reading."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_training.report.data import PaperCell, PaperLine, PaperTable


def lay_out(comparison: pa.Table) -> tuple[PaperTable, ...]:
    """Turns `tables.PAPER_COMPARISON` into tables that have the paper's columns as lines.

    A line is comparable if any of its cells is; its notes say which.
    """
    by_table: dict[str, list[dict[str, object]]] = {}
    for row in comparison.to_pylist():
        by_table.setdefault(row["table"], []).append(row)
    return tuple(_table(name, rows) for name, rows in by_table.items())


def _table(name: str, rows: list[dict[str, object]]) -> PaperTable:
    names = tuple(dict.fromkeys(str(row["row"]) for row in rows))
    columns = dict.fromkeys(str(row["column"]) for row in rows)
    # A dash in a cell shows already that there is no figure. It needs a note where the line has no other.
    figures = [sum(row[side] is not None for side in ("paper", "measured")) for row in rows]
    most = {row["column"]: 0 for row in rows}
    for row, found in zip(rows, figures, strict=True):
        most[row["column"]] = max(most[row["column"]], found)
    noted = [row for row, found in zip(rows, figures, strict=True) if found and found == most[row["column"]]]
    notes = list(dict.fromkeys(str(row["note"]) for row in noted))
    by_cell = {(row["row"], row["column"]): row for row in rows}
    lines = []
    for column in columns:
        cells = [cell for row in names if (cell := by_cell.get((row, column)))]
        lines.append(
            PaperLine(
                column,
                str(cells[0]["unit"]),
                tuple(_cell(by_cell.get((row, column))) for row in names),
                any(cell["comparable"] for cell in cells),
                tuple(sorted({notes.index(str(cell["note"])) + 1 for cell in cells if cell in noted})),
            )
        )
    one_measurement = all(len({cell.measured for cell in line.cells}) == 1 for line in lines)
    return PaperTable(name, names, tuple(lines), tuple(notes), one_measurement)


def _cell(row: dict[str, object] | None) -> PaperCell:
    if row is None:
        return PaperCell(None, None)
    paper, measured = row["paper"], row["measured"]
    return PaperCell(
        paper if isinstance(paper, float) else None, measured if isinstance(measured, float) else None
    )
