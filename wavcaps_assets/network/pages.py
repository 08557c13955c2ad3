"""The log of a crawl's pages: an interrupted crawl continues where it stopped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import pyarrow as pa

from wavcaps_assets.clock import new_crawl_id, utc_now
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.exclusive import StillAlone
from wavcaps_assets.store.storage import Store

# Each failure is all attempts of a request, and usually a pause of the host after it.
MAX_FAILURES = 3


@dataclass(frozen=True)
class Page:
    """A server's response: 200 with a body, or 404 without one."""

    status: int
    body: bytes


class PageLog:
    """The pages of one crawl of one partition.

    Args:
        store: the store of the log.
        folder: the log's folder in the store.
        done: the crawl that the partition's table was made from. Its pages are removed; the pages of
            another crawl, which was interrupted, are used.
        still_alone: called before each change of the log, as `crawl.one_process` gives it.

    Attributes:
        crawl: the crawl's id.
        started: when it began, UTC.
        read_before: number of pages read before it was interrupted.
    """

    def __init__(
        self, store: Store, folder: str, done: str | None, still_alone: StillAlone = lambda: None
    ) -> None:
        self._still_alone = still_alone
        self._store = store
        self._folder = folder
        self._pages: dict[str, dict[str, Any]] = {}
        self._failures: Counter[str] = Counter()
        self._known: set[tuple[object, object]] = set()
        self.crawl = ""
        self.started = utc_now()
        self._log = AppendLog(store, folder)
        for record in self._log.read():
            if "crawl" in record:
                self.crawl = record["crawl"]
                self.started = datetime.fromisoformat(record["started"])
            elif "failed" in record or "failures_forgotten" in record:
                if self._is_new(record):
                    self._add_failure(record)
            else:
                self._pages[record["key"]] = record
        if not self.crawl or self.crawl == done:
            store.remove(folder)
            self._pages = {}
            self._failures.clear()
            self.started = utc_now()
            self.crawl = new_crawl_id(self.started)
            self._log.append({"crawl": self.crawl, "started": self.started.isoformat()})
        self.read_before = len(self._pages)

    def __enter__(self) -> PageLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def get(self, key: str) -> Page | None:
        record = self._pages.get(key)
        if record is None:
            return None
        packed = base64.b64decode(record["body"])
        body = pa.decompress(packed, record["bytes"], codec="zstd", asbytes=True) if packed else b""
        return Page(record["status"], body)

    def add(self, key: str, url: str, page: Page) -> None:
        """Writes a page to the log."""
        packed = pa.compress(page.body, codec="zstd", asbytes=True) if page.body else b""
        self._append(
            {
                "key": key,
                "url": url,
                "at": utc_now().isoformat(timespec="seconds"),
                "status": page.status,
                "bytes": len(page.body),
                "body": base64.b64encode(packed).decode("ascii"),
            }
        )

    def forget_failures(self) -> None:
        """Requests every page again that failed, however often."""
        self._failures.clear()
        self._append({"failures_forgotten": True, "at": utc_now().isoformat()})

    def add_failure(self, key: str) -> None:
        """Records that all attempts to read a page failed."""
        self._failures[key] += 1
        self._append({"failed": key, "at": utc_now().isoformat()})

    def _is_new(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is seen for the first time: a log can show one twice after a kill."""
        if "at" not in record:
            # Versions before 0.2 wrote no time.
            return True
        once = record.get("failed"), record["at"]
        if once in self._known:
            return False
        self._known.add(once)
        return True

    def _add_failure(self, record: Mapping[str, Any]) -> None:
        if "failed" in record:
            self._failures[record["failed"]] += 1
        else:
            self._failures.clear()

    def has_failed_too_often(self, key: str) -> bool:
        """Whether this crawl skips a page because it failed too often; the next crawl requests it."""
        return self._failures[key] >= MAX_FAILURES

    def discard(self) -> None:
        """Removes all pages, because no crawl can be completed with them."""
        self._still_alone()
        self._log.close()
        self._store.remove(self._folder)

    def _append(self, record: Mapping[str, Any]) -> None:
        self._still_alone()
        self._log.append(record)


def key_of(*request: object) -> str:
    """The key of a page: a hash of its request, without credentials."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
