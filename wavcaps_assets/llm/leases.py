"""Which questions are being asked, so that runs which are started together do not ask the same ones.

The claims stand in an SQLite file beside the ledger; each run has a lock file beside it, which the system
gives up with the process. A bucket can hold neither: runs that share one may ask a question twice.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.store.storage import StoreError

FILE = ".claims.sqlite"
LOCK = ".claims-{owner}.lock"
# Where another machine's locks cannot be seen, a claim that has stood so long is none (s).
LONGEST_S = 24 * 3600.0
TABLE = "create table if not exists claims (key blob primary key, owner text, at real) without rowid"
TAKE = "insert into claims values (?, ?, ?) on conflict do nothing"


class Leases:
    """The questions of one run among those of all. Use as a context manager, from one thread.

    Every method raises `StoreError` where the file cannot be used. Only the first claim makes it.
    """

    def __init__(self, ledger: ResponseLedger) -> None:
        self._owner = uuid.uuid4().hex
        self._folder = ledger.store.path(ledger.folder) if ledger.store.is_folder else None
        self._file: sqlite3.Connection | None = None
        self._given_up: list[bytes] = []
        self._version: int | None = None

    def __enter__(self) -> Leases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None or self._folder is None:
            return
        with suppress(sqlite3.Error):
            self._file.execute("delete from claims where owner = ?", (self._owner,))
        self._file.close()
        self._lock.release()
        _lock_of(self._folder, self._owner).unlink(missing_ok=True)

    def take(self, key: str) -> bool:
        """Whether the question is for this run to ask: no run that is alive asks it."""
        if self._folder is None:
            return True
        wanted = bytes.fromhex(key)
        try:
            file = self._file = self._file or self._opened(self._folder)
            while not self._insert(file, wanted):
                row = file.execute("select owner, at from claims where key = ?", (wanted,)).fetchone()
                if row is not None and not self._ended(file, self._folder, *row):
                    return False
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"cannot use {self._folder / FILE}, where runs write down what they are asking: {error}; "
                "free some space, or, if it is broken, remove it while no run is asking"
            ) from error
        return True

    def give_up(self, key: str) -> None:
        """The question's answer is in the store, or it is not asked any more."""
        # Goes with the next claim: each change of the file takes time.
        self._given_up.append(bytes.fromhex(key))

    def others_changed(self) -> bool:
        """Whether another run has claimed or given up something since this was last asked, at first: ever."""
        if self._file is None:
            return False
        before = self._version
        (self._version,) = self._file.execute("pragma data_version").fetchone()
        return before != self._version

    def _insert(self, file: sqlite3.Connection, key: bytes) -> bool:
        with file:
            file.execute("begin immediate")
            given_up, self._given_up = self._given_up, []
            mine = ((old, self._owner) for old in given_up)
            file.executemany("delete from claims where key = ? and owner = ?", mine)
            return bool(file.execute(TAKE, (key, self._owner, time.time())).rowcount)

    def _ended(self, file: sqlite3.Connection, folder: Path, owner: str, at: float) -> bool:
        """Whether a claim's run has ended; its claims are removed if it has."""
        path = _lock_of(folder, owner)
        if time.time() - at < LONGEST_S and path.exists():
            try:
                with FileLock(path, timeout=0):
                    pass
            except Timeout:
                return False
        file.execute("delete from claims where owner = ?", (owner,))
        path.unlink(missing_ok=True)
        return True

    def _opened(self, folder: Path) -> sqlite3.Connection:
        folder.mkdir(parents=True, exist_ok=True)
        # Before anybody can see a claim of this run.
        self._lock = FileLock(_lock_of(folder, self._owner))
        self._lock.acquire()
        file = sqlite3.connect(folder / FILE, timeout=60, isolation_level=None)
        # A killed process leaves it whole; after a crash of the machine nobody asks anything.
        file.execute("pragma synchronous = off")
        file.execute("pragma journal_mode = persist")
        file.execute(TABLE)
        return file


def _lock_of(folder: Path, owner: str) -> Path:
    return folder / LOCK.format(owner=owner)
