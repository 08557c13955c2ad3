"""A rate limiter per host, in a file that all processes and later runs share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wavcaps_assets import clock
from wavcaps_assets.clock import Moment

MINUTE_S = 60.0
DAY_S = 24 * 3600.0
TABLES = """
    create table if not exists requests (id integer primary key, host text not null, at real not null);
    create index if not exists requests_by_host on requests (host, at);
    create table if not exists pauses (host text primary key, until real not null);
    create table if not exists clock (
        id integer primary key check (id = 0), at real not null,
        wall_s real not null, up_s real not null, boot text not null
    );
"""


@dataclass(frozen=True)
class Limit:
    """The largest number of requests in any span of `seconds`."""

    requests: int
    seconds: float


class Quotas:
    """A rate limiter that records each request. Threads and processes may share it.

    Times in the file never jump when somebody sets the machine's clock: they go on with the time since the
    machine was started.

    Args:
        path: the file; everything that shares a quota must share it.
        read_clock: the current moment.
    """

    def __init__(self, path: Path, read_clock: Callable[[], Moment] | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._read_clock = read_clock or clock.moment
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        # A crash of the machine can lose the last requests, not the file.
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = normal")
        self._database.executescript(TABLES)

    def close(self) -> None:
        self._database.close()

    def acquire(self, host: str, limits: tuple[Limit, ...]) -> tuple[int | None, float]:
        """Takes one request from a host's quota, if it allows one now.

        Returns:
            The request's id, None where there are no limits or none is allowed; and the time until a
            request is allowed (s), 0 if this one is.

        Raises:
            StoreError: machines share the quota, and their store cannot be used.
        """
        if not limits:
            return None, self.wait_s(host, limits)
        with self._transaction() as now:
            self._forget(host, now)
            wait = self._remaining_s(host, limits, now)
            if wait > 0:
                return None, wait
            inserted = self._database.execute("insert into requests (host, at) values (?, ?)", (host, now))
            return inserted.lastrowid, 0.0

    def wait_s(self, host: str, limits: tuple[Limit, ...]) -> float:
        """Time until a request is allowed (s), without taking one."""
        with self._lock:
            now, _ = self._now()
            return self._remaining_s(host, limits, now)

    def complete(self, request_id: int) -> None:
        """Records that a request has a response, so the host has counted it by now.

        Spans are counted from this time, so that the host never counts a slow request in the same span
        as later ones.
        """
        with self._transaction() as now:
            self._database.execute("update requests set at = ? where id = ?", (now, request_id))

    def pause(self, host: str, seconds: float) -> None:
        """Allows no request to a host for this time, in all processes."""
        with self._transaction() as now:
            self._database.execute(
                "insert into pauses values (?, ?) "
                "on conflict do update set until = max(until, excluded.until)",
                (host, now + seconds),
            )

    def _forget(self, host: str, now: float) -> None:
        self._database.execute("delete from requests where host = ? and at < ?", (host, now - DAY_S))
        # An older version wrote the time of day, which may have been set back since.
        self._database.execute("update requests set at = ? where host = ? and at > ?", (now, host, now))

    def _remaining_s(self, host: str, limits: tuple[Limit, ...], now: float) -> float:
        return max(self._pause_s(host, now), *(self._limit_s(host, limit, now) for limit in limits), 0.0)

    def _pause_s(self, host: str, now: float) -> float:
        row = self._database.execute("select until from pauses where host = ?", (host,)).fetchone()
        return float(row[0]) - now if row else 0.0

    def _limit_s(self, host: str, limit: Limit, now: float) -> float:
        row = self._database.execute(
            "select at from requests where host = ? order by at desc limit 1 offset ?",
            (host, limit.requests - 1),
        ).fetchone()
        return float(row[0]) + limit.seconds - now if row else 0.0

    def _now(self) -> tuple[float, Moment]:
        """The time in this file (s): that of the last change, and what has passed since."""
        read = self._read_clock()
        row = self._database.execute("select at, wall_s, up_s, boot from clock").fetchone()
        return (read.wall_s if row is None else row[0] + read.since(Moment(*row[1:]))), read

    @contextmanager
    def _transaction(self) -> Iterator[float]:
        """Gives the time in this file (s)."""
        with self._lock:
            self._database.execute("begin immediate")
            try:
                now, read = self._now()
                self._database.execute(
                    "insert or replace into clock values (0, ?, ?, ?, ?)",
                    (now, read.wall_s, read.up_s, read.boot),
                )
                yield now
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")
