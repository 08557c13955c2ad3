"""What has been spent, in a file beside the ledger that all processes share which share the folder."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.store.storage import StoreError

FILE = ".budget.sqlite"
# Of a bucket, by the run: its steps are in one process.
IN_MEMORY: dict[str, sqlite3.Connection] = {}


@dataclass(frozen=True)
class Sum:
    """What spending is counted by: a month, as YYYY-MM, or a run, by its id."""

    kind: str
    name: str


def month(name: str) -> Sum:
    return Sum("month", name)


def run(name: str) -> Sum:
    return Sum("run", name)


class SpendingTotals:
    """Sums by month and by run (10^-12 USD).

    Args:
        ledger: beside which they stand; of one in a bucket, they end with the process.
        run: whose steps share them, where they end with the process; empty: nobody does.

    Raises:
        StoreError: the file cannot be used.
    """

    def __init__(self, ledger: ResponseLedger, run: str) -> None:
        self._shared = False
        if ledger.store.is_folder:
            self._sums = _opened(ledger)
        elif run:
            self._shared = True
            self._sums = IN_MEMORY.get(run) or IN_MEMORY.setdefault(run, _with_tables(":memory:"))
        else:
            self._sums = _with_tables(":memory:")

    def close(self) -> None:
        if not self._shared:
            self._sums.close()

    def of(self, name: Sum) -> int:
        statement = f"select pico from {name.kind}s where {name.kind} = ?"
        row = self._sums.execute(statement, (name.name,)).fetchone()
        return int(row[0]) if row else 0

    def at_least(self, name: Sum, pico: int) -> None:
        """Opens a sum, or raises it to what is known to have been spent."""
        self._sums.execute(
            f"insert into {name.kind}s values (?, ?) on conflict do update "
            "set pico = max(pico, excluded.pico)",
            (name.name, pico),
        )

    def add(self, name: Sum, pico: int) -> None:
        statement = f"update {name.kind}s set pico = pico + ? where {name.kind} = ?"
        self._sums.execute(statement, (pico, name.name))

    def take(self, name: Sum, pico: int, limit: int) -> bool:
        """Adds, unless that would exceed the limit. Says whether it has."""
        taken = self._sums.execute(
            f"update {name.kind}s set pico = pico + ? where {name.kind} = ? and pico + ? <= ?",
            (pico, name.name, pico, limit),
        )
        return bool(taken.rowcount)


def _opened(ledger: ResponseLedger) -> sqlite3.Connection:
    folder = ledger.store.path(ledger.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _with_tables(str(folder / FILE))
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"cannot use {folder / FILE}, where spending is counted: {error}; if it is broken, remove it, "
            "and the month is counted anew from the ledger"
        ) from error


def _with_tables(path: str) -> sqlite3.Connection:
    sums = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    # A killed process leaves it whole; after a crash of the machine the ledger tells most of it.
    sums.execute("pragma synchronous = off")
    for kind in ("month", "run"):
        sums.execute(f"create table if not exists {kind}s ({kind} text primary key, pico integer not null)")
    return sums
