"""What a machine remembers of its shares of quotas, in the file of its quotas."""

from __future__ import annotations

import sqlite3
import uuid

# A limit: its host, and its span (s).
Key = tuple[str, float]
KEPT_TOKENS = 200
TABLES = """
    create table if not exists shares (
        host text not null, seconds real not null, requests integer not null, held integer not null,
        asked_at real not null, got_at real not null, gave_at real not null,
        primary key (host, seconds)
    );
    create table if not exists facts (name text primary key, value not null);
    create table if not exists tokens (number integer primary key, token text not null unique);
    create table if not exists seen (owner text primary key, token text not null, since real not null);
    create table if not exists known_pauses (id text primary key, host text not null, until real not null);
"""


class ShareRecords:
    """Rows of the file. The caller of a method that writes has begun a transaction.

    Times are those of the file (s).
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.executescript(TABLES)
        database.execute("insert or ignore into facts values ('owner', ?), ('wrote_at', 0)", (_name(),))

    def owner(self) -> str:
        """This machine's name in the document."""
        return str(self._fact("owner"))

    def new_owner(self) -> None:
        """Takes another name, because a copy of this file uses the one so far."""
        self._database.execute("update facts set value = ? where name = 'owner'", (_name(),))

    def wrote_at(self) -> float:
        """When this machine last began to change its entry."""
        return float(self._fact("wrote_at"))

    def wrote(self, began: float) -> None:
        self._database.execute("update facts set value = ? where name = 'wrote_at'", (began,))

    def add_token(self, token: str) -> None:
        self._database.execute("insert into tokens (token) values (?)", (token,))
        self._database.execute(
            "delete from tokens where number <= (select max(number) from tokens) - ?", (KEPT_TOKENS,)
        )

    def has_token(self, token: str) -> bool:
        """Whether this machine, or one of its processes that was killed, wrote an entry."""
        return self._database.execute("select 1 from tokens where token = ?", (token,)).fetchone() is not None

    def held(self, key: Key) -> int:
        """The slots that this machine may use, if its entry is young enough."""
        row = self._database.execute("select held from shares where host = ? and seconds = ?", key).fetchone()
        return int(row[0]) if row else 0

    def shares(self) -> dict[Key, tuple[int, float, float, float]]:
        """All shares: the limit in the settings; when it was last too small, got slots, and gave some."""
        rows = self._database.execute(
            "select host, seconds, requests, asked_at, got_at, gave_at from shares"
        ).fetchall()
        return {(row[0], row[1]): row[2:] for row in rows}

    def ask(self, key: Key, requests: int, now: float) -> None:
        self._database.execute(
            "insert into shares values (?, ?, ?, 0, ?, 0, 0) "
            "on conflict do update set requests = excluded.requests, asked_at = excluded.asked_at",
            (*key, requests, now),
        )

    def set_limit(self, key: Key, requests: int) -> None:
        """Notes the limit in the settings, if this machine has a share of it."""
        self._database.execute(
            "update shares set requests = ?1 where host = ?2 and seconds = ?3 and requests <> ?1",
            (requests, *key),
        )

    def hold(self, key: Key, held: int, now: float) -> None:
        """Notes how many slots this machine may use."""
        self._database.execute(
            "update shares set got_at = case when held = 0 and ?1 > 0 then ?2 else got_at end, "
            "gave_at = case when ?1 < held then ?2 else gave_at end, held = ?1 "
            "where host = ?3 and seconds = ?4",
            (held, now, *key),
        )

    def drop(self, key: Key) -> None:
        self._database.execute("delete from shares where host = ? and seconds = ?", key)

    def used(self, key: Key, now: float) -> int:
        """The requests to a host in the last span."""
        host, seconds = key
        row = self._database.execute(
            "select count(*) from requests where host = ? and at > ?", (host, now - seconds)
        ).fetchone()
        return int(row[0])

    def last_request(self, host: str) -> float:
        row = self._database.execute("select max(at) from requests where host = ?", (host,)).fetchone()
        return float(row[0] or 0)

    def last_asked(self, host: str) -> float:
        """When one of the host's limits was last too small."""
        row = self._database.execute("select max(asked_at) from shares where host = ?", (host,)).fetchone()
        return float(row[0] or 0)

    def seen_since(self, owner: str, token: str, now: float) -> float:
        """Since when this machine sees another one's entry as it is now."""
        self._database.execute(
            "insert into seen values (?, ?, ?) on conflict do update "
            "set token = excluded.token, since = excluded.since where token <> excluded.token",
            (owner, token, now),
        )
        row = self._database.execute("select since from seen where owner = ?", (owner,)).fetchone()
        return float(row[0])

    def keep_seen(self, owners: list[str]) -> None:
        marks = ",".join("?" * len(owners))
        self._database.execute(f"delete from seen where owner not in ({marks})", owners)

    def pauses(self, now: float) -> dict[str, float]:
        """Until when each host is paused."""
        rows = self._database.execute("select host, until from pauses where until > ?", (now,)).fetchall()
        return dict(rows)

    def known_pause(self, pause: str) -> float | None:
        row = self._database.execute("select until from known_pauses where id = ?", (pause,)).fetchone()
        return float(row[0]) if row else None

    def know_pause(self, pause: str, host: str, until: float) -> None:
        self._database.execute("delete from known_pauses where host = ?", (host,))
        self._database.execute("insert into known_pauses values (?, ?, ?)", (pause, host, until))
        self._database.execute(
            "insert into pauses values (?, ?) on conflict do update set until = max(until, excluded.until)",
            (host, until),
        )

    def _fact(self, name: str) -> str | float:
        value: str | float = self._database.execute(
            "select value from facts where name = ?", (name,)
        ).fetchone()[0]
        return value


def _name() -> str:
    return uuid.uuid4().hex
