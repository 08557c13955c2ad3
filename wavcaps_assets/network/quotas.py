"""How often each host was asked: kept in a file, so that all processes and later runs keep to it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MINUTE_S = 60.0
DAY_S = 24 * 3600.0
TABLES = """
    create table if not exists requests (id integer primary key, host text not null, at real not null);
    create index if not exists requests_by_host on requests (host, at);
    create table if not exists pauses (host text primary key, until real not null);
"""


@dataclass(frozen=True)
class Limit:
    """At most so many requests in any span of so many seconds."""

    requests: int
    seconds: float


class Quotas:
    """A ledger of requests. Safe to use from several threads and processes.

    Args:
        path: the file, which all that share a quota must share.
        clock: the time (s since 1970).
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        # What a crash of the machine may lose is the last moment's requests, not the file.
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = normal")
        self._database.executescript(TABLES)

    def close(self) -> None:
        self._database.close()

    def take(self, host: str, limits: tuple[Limit, ...]) -> tuple[int | None, float]:
        """Takes a request from a host's quota.

        Returns:
            The request's number, None where there are no limits; and how long nothing may be asked
            (s), 0 if it was taken.
        """
        if not limits:
            return None, self.wait(host, limits)
        with self._transaction():
            now = self._clock()
            # What lies ahead was written before the clock was set back; it must not hold everything up.
            self._database.execute(
                "delete from requests where host = ? and (at < ? or at > ?)",
                (host, now - DAY_S, now + MINUTE_S),
            )
            wait = self._wait(host, limits, now)
            if wait > 0:
                return None, wait
            taken = self._database.execute("insert into requests (host, at) values (?, ?)", (host, now))
            return taken.lastrowid, 0.0

    def wait(self, host: str, limits: tuple[Limit, ...]) -> float:
        """How long nothing may be asked (s), without taking anything."""
        with self._lock:
            return self._wait(host, limits, self._clock())

    def answered(self, request: int) -> None:
        """Notes that a request was answered: from now on the host has seen it for certain.

        Spans are counted from here, so that a slow request cannot fall into the next span with a
        quick one.
        """
        with self._transaction():
            self._database.execute("update requests set at = ? where id = ?", (self._clock(), request))

    def pause(self, host: str, seconds: float) -> None:
        """Leaves a host alone for so long, in all processes."""
        with self._transaction():
            self._database.execute(
                "insert into pauses values (?, ?) "
                "on conflict do update set until = max(until, excluded.until)",
                (host, self._clock() + seconds),
            )

    def _wait(self, host: str, limits: tuple[Limit, ...], now: float) -> float:
        return max(self._pause_s(host, now), *(self._wait_s(host, limit, now) for limit in limits), 0.0)

    def _pause_s(self, host: str, now: float) -> float:
        row = self._database.execute("select until from pauses where host = ?", (host,)).fetchone()
        return float(row[0]) - now if row else 0.0

    def _wait_s(self, host: str, limit: Limit, now: float) -> float:
        row = self._database.execute(
            "select at from requests where host = ? order by at desc limit 1 offset ?",
            (host, limit.requests - 1),
        ).fetchone()
        return float(row[0]) + limit.seconds - now if row else 0.0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")
