"""What the history of a partition says about earlier attempts to fetch its audio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wavcaps_assets.clock import new_crawl_id, utc_now
from wavcaps_assets.crawl.history import AUDIO_EVENTS, Event, History


class PastFetches:
    """The attempts so far. Those that were blamed on the host do not count.

    Args:
        history: of the partition.
        done: id of the fetch whose table is in the store; None if there is none.

    Attributes:
        fetch_id: id of the fetch to continue, or of a new one.
        last: the last event of each clip.
        failures: how often each clip failed for its current URL, size and checksum.
        tries: how often each clip failed in this fetch.
        streak: the reasons of first failures since the last success of this fetch, by clip id.
        copy_failures: how often the extra copy of each stored clip failed since it was stored.
        copies_tried: the clips whose extra copy failed in this fetch.
        ever_stored: whether audio of the partition was ever stored.
        fault_days: the days since then on which many failures were blamed on the host, ISO 8601.
    """

    def __init__(self, history: History, done: str | None) -> None:
        events = list(history)
        ids = [event["round"] for event in events if event["event"] in AUDIO_EVENTS]
        self.fetch_id = ids[-1] if ids else ""
        # Ids sort by their beginning, unless the clock was set back. A fetch that left no event is known only
        # from the table.
        if not self.fetch_id or (done is not None and self.fetch_id <= done):
            self.fetch_id = new_crawl_id(utc_now())
        self.last: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, int] = {}
        self.tries: Counter[str] = Counter()
        self.streak: dict[str, str] = {}
        self.copy_failures: dict[str, int] = {}
        self.copies_tried: set[str] = set()
        self.ever_stored = False
        self.fault_days: set[str] = set()
        # Of each clip, the event before its last series of equal failures, and its failures until then.
        before: dict[str, tuple[dict[str, Any] | None, int]] = {}
        for event in events:
            clip_id, kind = event["clip_id"], event["event"]
            if kind == Event.HOST_FAULT:
                self.fault_days.add(event["at"][:10])
                self._forget(event["clips"], before)
            if kind == Event.COPY_FAILED:
                self.copy_failures[clip_id] = self.copy_failures.get(clip_id, 0) + 1
                if event["round"] == self.fetch_id:
                    self.copies_tried.add(clip_id)
            if kind not in AUDIO_EVENTS:
                continue
            last = self.last.get(clip_id)
            if is_first_failure(last, {"reason": None, **event}):
                before[clip_id] = last, self.failures.get(clip_id, 0)
            self.last[clip_id] = event
            if kind == Event.STORED:
                self.ever_stored = True
                self.failures.pop(clip_id, None)
                self.copy_failures.pop(clip_id, None)
                self.streak.clear()
                self.fault_days.clear()
                continue
            same = last is not None and last["asked_for"] == event["asked_for"]
            self.failures[clip_id] = self.failures.get(clip_id, 0) + 1 if same else 1
            if event["round"] == self.fetch_id:
                self.tries[clip_id] += 1
                if is_first_failure(last, event):
                    self.streak[clip_id] = event["reason"]

    def _forget(self, clips: list[str], before: Mapping[str, tuple[dict[str, Any] | None, int]]) -> None:
        for clip_id in clips:
            if clip_id in self.copies_tried:
                # It is stored all the same.
                self.copies_tried.discard(clip_id)
                self.copy_failures[clip_id] -= 1
                continue
            earlier, self.failures[clip_id] = before.get(clip_id, (None, 0))
            if earlier is None:
                self.last.pop(clip_id, None)
            else:
                self.last[clip_id] = earlier
            self.tries[clip_id] = 0
        self.streak.clear()


def is_first_failure(last: Mapping[str, Any] | None, failed: Mapping[str, Any]) -> bool:
    """Whether a clip failed for the first time in this way.

    Args:
        last: its event before; None if there is none.
    """
    return last is None or any(last.get(name) != failed[name] for name in ("event", "asked_for", "reason"))


def with_file_version(event: dict[str, Any], request: list[Any]) -> dict[str, Any]:
    """An event of a local file, completed: an old event without a version refers to a file that is older.

    Args:
        request: what would be requested now; its last values are the file's size (bytes) and time of
            modification (ns).
    """
    *before, _, modified_ns = request
    if event["asked_for"] != before or modified_ns is None:
        return event
    unchanged = modified_ns < datetime.fromisoformat(event["at"]).timestamp() * 1e9
    return {**event, "asked_for": request} if unchanged else event
