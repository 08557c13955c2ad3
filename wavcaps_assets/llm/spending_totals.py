"""What runs and months have spent: a file in the ledger's folder, which the processes of a machine share."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from wavcaps_assets.store.storage import Store, StoreError

FILE = ".budget.sqlite"
# For a bucket, by the run: the steps of a run are in one process.
IN_MEMORY: dict[str, sqlite3.Connection] = {}


class Place(Protocol):
    """Where totals are: the store and the folder of a response ledger."""

    @property
    def store(self) -> Store: ...

    @property
    def folder(self) -> str: ...


@dataclass(frozen=True)
class Total:
    """What a total is for: a month, YYYY-MM, or a run, by its id."""

    kind: str
    name: str


# The start of the names of a bucket's totals, followed by what they are for.
IN_BUCKET = "spent-"


def are_there(place: Place) -> bool:
    """Whether the totals of some month are in the store."""
    if place.store.is_folder:
        return (place.store.path(place.folder) / FILE).exists()
    return bool(place.store.hidden(place.folder, f".{IN_BUCKET}month-"))


def month(name: str) -> Total:
    return Total("month", name)


def run(name: str) -> Total:
    return Total("run", name)


class SpendingTotals:
    """Totals by month and by run (10^-12 USD).

    Args:
        ledger: the file is in its folder. For a ledger in a bucket, the totals end with the process.
        run: its steps share totals that end with the process; empty: nobody shares them.

    Attributes:
        lasting: whether they outlive the process.

    Raises:
        StoreError: the file cannot be used.
    """

    def __init__(self, ledger: Place, run: str) -> None:
        self.lasting = ledger.store.is_folder
        self._shared = False
        if ledger.store.is_folder:
            self._connection = _opened(ledger)
        elif run:
            self._shared = True
            self._connection = IN_MEMORY.get(run) or IN_MEMORY.setdefault(run, _with_tables(":memory:"))
        else:
            self._connection = _with_tables(":memory:")

    def close(self) -> None:
        if not self._shared:
            self._connection.close()

    def get(self, name: Total) -> int:
        statement = f"select pico from {name.kind}s where {name.kind} = ?"
        row = self._connection.execute(statement, (name.name,)).fetchone()
        return int(row[0]) if row else 0

    def at_least(self, name: Total, pico: int) -> None:
        """Creates a total, or raises it to an amount that is known to have been spent."""
        self._connection.execute(
            f"insert into {name.kind}s values (?, ?) on conflict do update "
            "set pico = max(pico, excluded.pico)",
            (name.name, pico),
        )

    def add(self, name: Total, pico: int) -> None:
        statement = f"update {name.kind}s set pico = pico + ? where {name.kind} = ?"
        self._connection.execute(statement, (pico, name.name))

    def add_first(self, name: Total, amounts: Sequence[int], limit: int) -> int:
        """Adds the first of some amounts, as many as the total has room for. Returns how many."""
        connection = self._connection
        # Nobody else changes the total between the two statements.
        connection.execute("begin immediate")
        try:
            room = limit - self.get(name)
            fitting = bisect_right(list(accumulate(amounts)), room)
            self.add(name, sum(amounts[:fitting]))
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")
        return fitting


def _opened(ledger: Place) -> sqlite3.Connection:
    folder = ledger.store.path(ledger.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _with_tables(str(folder / FILE))
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"cannot use {folder / FILE}, the file of what was spent: {error}; if it is broken, remove it, "
            "and the month is counted again from the response ledger"
        ) from error


def _with_tables(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    # A killed process leaves it whole; after a crash of the machine the ledger gives most of it.
    connection.execute("pragma synchronous = off")
    for kind in ("month", "run"):
        connection.execute(
            f"create table if not exists {kind}s ({kind} text primary key, pico integer not null)"
        )
    return connection
