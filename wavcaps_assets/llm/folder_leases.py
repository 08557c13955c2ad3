"""Leases of requests in a folder: runs of this machine never send the same request.

The leases are in an SQLite file in the ledger's folder. Each run has a lock file there, which the
operating system releases when the process ends.
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
# The locks of another machine cannot be seen: a lease that is older than this has expired (s).
LONGEST_S = 24 * 3600.0
TABLE = "create table if not exists claims (key blob primary key, owner text, at real) without rowid"
INSERT = "insert into claims values (?, ?, ?) on conflict do nothing"


class FolderLeases:
    """The leases of one run. Use as a context manager, from one thread.

    The first lease makes the file. Every method raises `StoreError` if the file cannot be used.
    """

    # Until a request that another run has leased is looked at again (s).
    poll_s = 0.2

    def __init__(self, ledger: ResponseLedger) -> None:
        self._owner = uuid.uuid4().hex
        self._ledger = ledger
        self._folder = ledger.store.path(ledger.folder)
        self._file: sqlite3.Connection | None = None
        self._held: set[str] = set()
        self._released: list[bytes] = []
        self._version: int | None = None

    def __enter__(self) -> FolderLeases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        with suppress(sqlite3.Error):
            self._file.execute("delete from claims where owner = ?", (self._owner,))
        self._file.close()
        self._lock.release()
        _lock_of(self._folder, self._owner).unlink(missing_ok=True)

    async def __aenter__(self) -> FolderLeases:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(None, None, None)

    async def acquire(self, key: str) -> bool:
        """As `take`. Then the ledger has what other runs have answered."""
        taken = self.take(key)
        if not taken or self.others_changed():
            self._ledger.refresh()
        return taken

    async def holds(self, key: str) -> bool:
        """The lock of a process that does not run is its lock still."""
        return key in self._held

    def take(self, key: str) -> bool:
        """Leases a request; False: this run holds the lease already, or another one that is alive does."""
        if key in self._held or not self._acquired(self._folder, key):
            return False
        self._held.add(key)
        return True

    def release(self, key: str) -> None:
        """The request's answer is in the store, or the request is not sent."""
        # Written with the next lease: each change of the file takes time.
        self._released.append(bytes.fromhex(key))
        self._held.discard(key)

    def others_changed(self) -> bool:
        """Whether another run has leased or released something since the last call; the first time: ever."""
        if self._file is None:
            return False
        before = self._version
        (self._version,) = self._file.execute("pragma data_version").fetchone()
        return before != self._version

    def _acquired(self, folder: Path, key: str) -> bool:
        wanted = bytes.fromhex(key)
        try:
            file = self._file = self._file or self._opened(folder)
            while not self._insert(file, wanted):
                row = file.execute("select owner, at from claims where key = ?", (wanted,)).fetchone()
                if row is not None and not self._expired(file, folder, *row):
                    return False
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"cannot use {folder / FILE}, the file of leases: {error}; free some space, or, if "
                "the file is broken, remove it while no run sends requests"
            ) from error
        return True

    def _insert(self, file: sqlite3.Connection, key: bytes) -> bool:
        with file:
            file.execute("begin immediate")
            released, self._released = self._released, []
            mine = ((old, self._owner) for old in released)
            file.executemany("delete from claims where key = ? and owner = ?", mine)
            return bool(file.execute(INSERT, (key, self._owner, time.time())).rowcount)

    def _expired(self, file: sqlite3.Connection, folder: Path, owner: str, at: float) -> bool:
        """Whether a lease's run has ended; if it has, its leases are removed."""
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
        # Locked before another run can see a lease of this one.
        self._lock = FileLock(_lock_of(folder, self._owner))
        self._lock.acquire()
        file = sqlite3.connect(folder / FILE, timeout=60, isolation_level=None)
        # A killed process leaves the file whole; after a crash of the machine no run is alive.
        file.execute("pragma synchronous = off")
        file.execute("pragma journal_mode = persist")
        file.execute(TABLE)
        return file


def _lock_of(folder: Path, owner: str) -> Path:
    return folder / LOCK.format(owner=owner)
