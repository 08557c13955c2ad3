"""The table of the state of each source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from wavcaps_assets.crawl.freshness import Freshness, days_left
from wavcaps_assets.tables.operations import STATUS

FRESH, BEHIND, NEVER, PARTLY = "fresh", "behind", "never crawled", "partly crawled"
NOT_KNOWN, NONE, NO_LIMIT = "not known", "–", "no limit"
# Checks that are named; of more, the number is.
SHOWN = 3
HEADS = {
    "source": "source",
    "state": "state",
    "behind": "behind by",
    "crawled": "crawled",
    "days": "days until a full crawl",
    "schedule": "schedule",
    "paused": "paused until",
    "blocked": "blocked by",
    "budget": "budget left",
    "disk": "disk left",
}
# What is the same for all sources.
SHARED = ("budget", "disk")


@dataclass(frozen=True)
class Pause:
    """What a source waits for.

    Attributes:
        until: when it may go on (UTC).
        by: what is paused, and for what.
    """

    until: datetime
    by: str


@dataclass(frozen=True)
class SourceState:
    """What is known about a source.

    Attributes:
        name: of the source.
        title: its name for people.
        freshness: of its partitions.
        pace: partitions that are crawled for the first time in a day; None: not known.
        pause: what it waits for; None: nothing.
        blocked_by: what keeps its captions back until a person does something: a wrong setting, runs that
            failed or were cancelled; and the blocking checks that failed.
    """

    name: str
    title: str
    freshness: Freshness
    pace: float | None
    pause: Pause | None
    blocked_by: Sequence[str]


@dataclass(frozen=True)
class Room:
    """What all sources share.

    Attributes:
        budget_usd: the budget of the month (USD); None: no limit.
        budget_left_usd: what is left of it (USD); None: no limit.
        disk_left_bytes: the room on the fullest disk (bytes); None: not known.
    """

    budget_usd: float | None
    budget_left_usd: float | None
    disk_left_bytes: int | None

    @property
    def budget(self) -> str:
        if self.budget_left_usd is None:
            return NO_LIMIT
        return f"{self.budget_left_usd:,.2f} of {self.budget_usd:,.2f} USD"

    @property
    def disk(self) -> str:
        return NOT_KNOWN if self.disk_left_bytes is None else f"{self.disk_left_bytes / 1e9:,.1f} GB"


def status_table(states: Iterable[SourceState], room: Room, now: datetime) -> pa.Table:
    """The state of each source.

    Args:
        now: the time of these states (UTC).

    Returns:
        `tables.operations.STATUS`, in the order of the sources.
    """
    return STATUS.from_rows(_row(state, room, now) for state in states)


def _row(state: SourceState, room: Room, now: datetime) -> dict[str, Any]:
    found = state.freshness
    return {
        "source": state.name,
        "title": state.title,
        "state": _state(found),
        "partitions": found.partitions,
        "crawled": found.finished,
        "overdue": len(found.overdue),
        "behind_since": found.since,
        "behind_by_h": None if found.since is None else (now - found.since) / timedelta(hours=1),
        "newest_crawl": found.newest,
        "schedule": "on" if found.promised else "off",
        "paused_until": state.pause and state.pause.until,
        "paused_by": state.pause and state.pause.by,
        "blocked_by": list(state.blocked_by),
        "partitions_per_day": state.pace,
        "days_left": days_left(found.missing, state.pace),
        "budget_month_usd": room.budget_usd,
        "budget_left_usd": room.budget_left_usd,
        "disk_left_bytes": room.disk_left_bytes,
        "as_of": now,
    }


def _state(found: Freshness) -> str:
    """One word for a source. Where its schedule is off, nobody promises the partitions that are missing."""
    if not found.has_begun:
        return NEVER
    if not found.is_fresh:
        return BEHIND
    return PARTLY if found.missing and not found.promised else FRESH


def lines(table: pa.Table) -> list[dict[str, str]]:
    """The table in words for people, by the names of `HEADS`.

    Args:
        table: `tables.operations.STATUS`.
    """
    return [_line(row) for row in table.to_pylist()]


def _line(row: dict[str, Any]) -> dict[str, str]:
    room = Room(row["budget_month_usd"], row["budget_left_usd"], row["disk_left_bytes"])
    blocked = row["blocked_by"]
    until, by = row["paused_until"], row["paused_by"]
    more = f", and {len(blocked) - SHOWN} more" if len(blocked) > SHOWN else ""
    return {
        "source": row["title"],
        "state": row["state"],
        "behind": _behind(row),
        "crawled": f"{row['crawled']:,} of {row['partitions']:,} partitions",
        "days": NOT_KNOWN if row["days_left"] is None else f"{row['days_left']:,.1f}",
        "schedule": row["schedule"],
        "paused": f"{until:%Y-%m-%d %H:%M} UTC ({by})" if until else NONE,
        "blocked": f"{', '.join(blocked[:SHOWN])}{more}" if blocked else NONE,
        "budget": room.budget,
        "disk": room.disk,
    }


def _behind(row: dict[str, Any]) -> str:
    if not row["overdue"]:
        return NONE
    counted = f"{row['overdue']:,} partition{'' if row['overdue'] == 1 else 's'}"
    return f"{counted}, {NOT_KNOWN if row['behind_by_h'] is None else span(row['behind_by_h'])}"


def span(hours: float) -> str:
    """A long duration for people, such as `3 d 4 h`."""
    days, rest = divmod(round(hours), 24)
    return f"{days:,} d {rest} h" if days else f"{rest} h"
