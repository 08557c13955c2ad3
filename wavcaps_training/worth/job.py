"""The whole job: questions in words, answers as a table and a page in the store."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.worth.comparing import (
    BEFORE,
    Answer,
    Model,
    Question,
    answer,
    each_value,
    last_change,
    table_of,
)
from wavcaps_training.worth.page import Shown, write_page
from wavcaps_training.worth.seed_runs import Machine
from wavcaps_training.worth.sides import BadSide

NO_PROGRESS = NoProgress()


@dataclass(frozen=True)
class Request:
    """What a person asks.

    Attributes:
        before, after: sides, such as `v3`; empty: what the newest version changed.
        each: a kind of `sides.KINDS`: `after`, or the newest version, without each of its values; or empty.
        references: `before`, `after`, or a side whose captions the test clips are searched by.
    """

    before: str = ""
    after: str = ""
    each: str = ""
    references: str = BEFORE


@dataclass(frozen=True)
class Worth:
    """The answer to a request.

    Attributes:
        table: `tables.WORTH`.
        shown: each comparison, as the page shows it.
        page: the page's path in the store.
    """

    table: pa.Table
    shown: tuple[Shown, ...]
    page: str


def what_is_it_worth(
    request: Request, model: Model, tables: TableStore, machine: Machine, progress: Progress = NO_PROGRESS
) -> Worth:
    """Compares, and writes the page.

    Args:
        progress: counts trained seeds.

    Raises:
        BadSide, NothingToCompare, AudioReadError, TrainingError, StoreError: as `comparing.answer` does.
    """
    if request.each:
        if request.before or request.references != BEFORE:
            raise BadSide(
                f"each {request.each} of a side is compared with the side itself, by its own captions: leave "
                "out `before` and `references`"
            )
        of = request.after or "latest"
        questions, title = each_value(request.each, of, tables), f"What each {request.each} of {of} is worth"
    else:
        before, after = request.before, request.after
        if not before or not after:
            newest = last_change(tables)
            before, after = before or newest.before, after or newest.after
        questions, title = [Question(before, after, request.references)], ""
    answers = answer(questions, model, tables, machine, progress)
    table = table_of(answers)
    shown = tuple(_shown(one, table, place, answers) for place, one in enumerate(answers))
    title = title or f"What is it worth? {shown[0].rows[0]['before']} → {shown[0].rows[0]['after']}"
    return Worth(table, shown, write_page(shown, tables.store, title))


def _shown(one: Answer, table: pa.Table, place: int, answers: list[Answer]) -> Shown:
    start = sum(len(before.rows) for before in answers[:place])
    return Shown(one.comparison, table.slice(start, len(one.rows)).to_pylist())
