"""What happened to each clip of a partition, and when, written down as it happens.

Every other account (the ledger in the UI, which audio need not be fetched again, which clips are
gone) is read from this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import Any

import pyarrow as pa

from wavcaps_assets.clock import utc_now
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import LEDGER


class Event(StrEnum):
    """What can happen to a clip."""

    LISTED = "listed"
    CHANGED = "changed"
    GONE = "gone"
    RETURNED = "returned"
    SET_ASIDE = "set_aside"
    # What was set aside, or unread, is so no longer.
    RESOLVED = "resolved"
    # Of a part of the listing, such as a page, and not of a clip.
    UNREAD = "unread"
    STORED = "stored"
    FAILED = "failed"


LISTING = frozenset({Event.LISTED, Event.CHANGED, Event.GONE, Event.RETURNED, Event.SET_ASIDE})
AUDIO_EVENTS = frozenset({Event.STORED, Event.FAILED})
# Reasons of a failed fetch that may not hold the next time, though nothing changed.
PASSING = frozenset({"download_failed"})


class History:
    """The events of one partition of a source. Safe to add to from several threads.

    Use as a context manager; only the first event makes a file.
    """

    def __init__(self, store: Store, source: str, partition: str) -> None:
        self.source = source
        self.partition = partition
        self._log = AppendLog(store, f"log/clips/{source}/{partition}")
        # The same event can be written twice: a killed run says it again.
        self._events: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        for record in self._log.read():
            self._events[_key(record)] = record

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All events, oldest first."""
        return iter(sorted(self._events.values(), key=lambda record: record["at"]))

    def add(self, event: Event, clip_id: str, round_id: str, **more: Any) -> None:
        """Writes an event to the disk before it returns."""
        self.add_all([event_of(event, clip_id, round_id, utc_now().isoformat(), **more)])

    def add_all(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Writes events that are not known yet, all at once."""
        new = [dict(event) for event in events if _key(event) not in self._events]
        self._log.append_many(new)
        self._events.update((_key(event), event) for event in new)

    def table(self) -> pa.Table:
        """All events as `tables.LEDGER`, oldest first."""
        names = set(LEDGER.arrow.names)
        rows = [
            {
                **{name: value for name, value in record.items() if name in names},
                "source": self.source,
                "partition": self.partition,
                "at": datetime.fromisoformat(record["at"]),
            }
            for record in self
        ]
        return LEDGER.from_rows(rows)


def event_of(event: Event, clip_id: str, round_id: str, at: str, **more: Any) -> dict[str, Any]:
    """An event, as it is written down; `at` in ISO 8601."""
    return {"event": event.value, "clip_id": clip_id, "round": round_id, "at": at, **more}


def _key(record: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """What makes an event the same: a crawl says each thing once, a fetch can fail several times."""
    at = record["at"] if record["event"] in AUDIO_EVENTS else ""
    return record["clip_id"], record["event"], record["round"], at
