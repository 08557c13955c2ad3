"""The history of a partition: what happened to each clip, and when, written at once.

Everything else is derived from it: the ledger in the UI, which audio need not be fetched again, and
which clips are gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Any

import pyarrow as pa

from wavcaps_assets.clock import utc_now
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.exclusive import StillAlone
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import LEDGER


class Event(StrEnum):
    """What can happen to a clip."""

    LISTED = "listed"
    CHANGED = "changed"
    GONE = "gone"
    RETURNED = "returned"
    # Not listed, while the source lists records without content; `since` says for how long.
    MISSING = "missing"
    # The record has fields that the project did not read when it read the record last. Not a change.
    FIELDS_ADDED = "fields_added"
    # The name in the stored history.
    DROPPED = "set_aside"
    # A record that was dropped, or a part that was unread, no longer is.
    RESOLVED = "resolved"
    # Concerns a part of the listing, such as a page, and not a clip.
    UNREAD = "unread"
    STORED = "stored"
    FAILED = "failed"
    # The clip is stored, and its extra copy is not.
    COPY_FAILED = "copy_failed"
    # Many clips failed in a row: the failures are the host's. Names these clips, in `clips`.
    HOST_FAULT = "host_fault"


LISTING = frozenset({Event.LISTED, Event.CHANGED, Event.GONE, Event.RETURNED, Event.DROPPED})
AUDIO_EVENTS = frozenset({Event.STORED, Event.FAILED})
# Events that can happen several times in a crawl or a fetch.
REPEATED_EVENTS = AUDIO_EVENTS | {Event.COPY_FAILED, Event.HOST_FAULT}
# Reasons for which a download is tried again in the same fetch.
TEMPORARY = frozenset({"download_failed"})
TICK = timedelta(microseconds=1)


class History:
    """The events of one partition of a source. Safe to add to from several threads.

    Use it as a context manager. The first event creates the file.

    Args:
        still_alone: called before each write, as `crawl.one_process` gives it.
    """

    def __init__(
        self, store: Store, source: str, partition: str, still_alone: StillAlone = lambda: None
    ) -> None:
        self._still_alone = still_alone
        self.source = source
        self.partition = partition
        self._log = AppendLog(store, f"log/clips/{source}/{partition}")
        # The same event can be written twice: a run that resumes a killed one writes it again.
        self._events: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        for record in self._log.read():
            self._events[_key(record)] = record
        self._lock = threading.Lock()
        self._newest = max((record["at"] for record in self._events.values()), default="")

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All events, oldest first."""
        with self._lock:
            events = list(self._events.values())
        return iter(sorted(events, key=lambda record: record["at"]))

    def add(self, event: Event, clip_id: str, crawl_id: str, **more: Any) -> None:
        """Writes an event to the store before it returns."""
        self.add_all([event_of(event, clip_id, crawl_id, utc_now().isoformat(), **more)])

    def add_all(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Writes the events that are not in the history yet, all at once.

        Each is later than those that are there, also where the clock was set back since: the order of events
        says what a clip is now.

        Raises:
            StoreError: it could not be written; or another process has taken the partition over.
        """
        self._still_alone()
        with self._lock:
            not_before = self._newest and (datetime.fromisoformat(self._newest) + TICK).isoformat()
            in_order = [{**event, "at": max(event["at"], not_before)} for event in events]
            new = [event for event in in_order if _key(event) not in self._events]
            self._newest = max((event["at"] for event in new), default=self._newest)
        self._log.append_many(new)
        with self._lock:
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


def event_of(event: Event, clip_id: str, crawl_id: str, at: str, **more: Any) -> dict[str, Any]:
    """An event as it is stored.

    Args:
        crawl_id: the id of the crawl, or of the fetch.
        at: when, in ISO 8601.
    """
    return {"event": event.value, "clip_id": clip_id, "round": crawl_id, "at": at, **more}


def _key(record: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """What identifies an event: a crawl reports each change once, a fetch can fail several times."""
    at = record["at"] if record["event"] in REPEATED_EVENTS else ""
    return record["clip_id"], record["event"], record["round"], at
