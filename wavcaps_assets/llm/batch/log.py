"""A log of all batches, written before and after each step.

Each batch is `planned`, `uploaded`, `creating`, `created` and `ended`. Its requests are in a file next to
the log from before its upload until after its end, so that any later run can collect the batch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.batch.lines import BatchRequest, Refusal
from wavcaps_assets.llm.records import Request
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import MissingFile, Store

logger = logging.getLogger(__name__)

SUFFIX = ".json"


@dataclass
class LoggedBatch:
    """A batch that has not ended.

    Attributes:
        name: our own, also in its metadata.
        url: of the endpoint.
        file_id: of its input, once uploaded.
        uploaded_at: when.
        creating_at: when its creation was last requested.
        batch_id: the endpoint's, once it is known to be created.
        requests: by key; without their messages.
    """

    name: str
    url: str
    file_id: str | None = None
    uploaded_at: datetime | None = None
    creating_at: datetime | None = None
    batch_id: str | None = None
    requests: dict[str, BatchRequest] = field(default_factory=dict)


@dataclass
class State:
    """The state of all batches, from the log.

    Attributes:
        open: batches that have not ended, by our name.
        ended: names of those that have.
        tries: by key, the batches that ended without its answer.
        refusals: by key, the last reason.
    """

    open: dict[str, LoggedBatch] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    tries: dict[str, set[str]] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)

    def apply(self, record: Mapping[str, Any]) -> None:
        event, name = record["event"], record["name"]
        if event == "returned":
            for key in record["keys"]:
                self.tries.pop(key, None)
                self.refusals.pop(key, None)
            return
        if event == "planned" and name not in self.ended:
            self.open.setdefault(name, LoggedBatch(name, record["url"]))
        elif event == "ended":
            self.open.pop(name, None)
            self.ended.add(name)
            for key, (reason, temporary) in record["unanswered"].items():
                self.refusals[key] = Refusal(reason, temporary)
                self.tries.setdefault(key, set()).add(name)
        elif (batch := self.open.get(name)) is not None:
            at = datetime.fromisoformat(record["at"])
            if event == "uploaded":
                batch.file_id, batch.uploaded_at = record["file_id"], at
            elif event == "creating":
                batch.creating_at = at
            elif event == "created":
                batch.batch_id = record["batch_id"]


class BatchLog:
    """The log of all batches in a store. Use it inside `locked`.

    Args:
        store: a folder or a bucket.
        folder: of the log, in the store.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._log = AppendLog(store, folder)
        self._requests: dict[str, dict[str, BatchRequest]] = {}
        self.state = State()

    def __enter__(self) -> BatchLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[State]:
        """Reads the log, and keeps other processes from submitting in the meantime.

        For a folder, these are all processes that share it; for a bucket, those on this machine.

        Raises:
            TimeoutError: another process held the lock for this long.
        """
        try:
            with FileLock(self._lock_file(), timeout=timeout_s):
                self._read()
                yield self.state
        except Timeout:
            raise TimeoutError("another process submits or collects batches") from None

    def plan(self, name: str, url: str, requests: Sequence[BatchRequest]) -> LoggedBatch:
        """Logs a batch and stores its requests, before it is uploaded."""
        self.note("planned", name, url=url, requests=len(requests))
        self._store.write_bytes(self.requests_path(name), _as_json(requests))
        batch = self.state.open[name]
        batch.requests = self._requests[name] = {one.request.key: one for one in requests}
        return batch

    def note(self, event: str, name: str, **fields: Any) -> None:
        """Logs one step."""
        record = {"event": event, "name": name, "at": utc_now().isoformat(), **fields}
        self._log.append(record)
        self.state.apply(record)

    def end(
        self, name: str, status: str, answered: int = 0, unanswered: Mapping[str, Refusal] | None = None
    ) -> None:
        """Logs the end of a batch.

        Args:
            unanswered: its requests without an answer, by key.
        """
        reasons = {key: [refusal.reason, refusal.temporary] for key, refusal in (unanswered or {}).items()}
        self.note("ended", name, status=status, answered=answered, unanswered=reasons)
        self._requests.pop(name, None)
        self._store.remove(self.requests_path(name))

    def returned(self, keys: Sequence[str]) -> None:
        """Logs that requests were returned without an answer: a later run may try them again."""
        if keys:
            self.note("returned", "", keys=list(keys))

    def _read(self) -> None:
        records: list[dict[str, Any]] = [record for record in self._log.read() if "event" in record]
        self.state = State()
        # Segments are sorted by their start, and two processes may have written alternately.
        for record in sorted(records, key=lambda record: str(record["at"])):
            self.state.apply(record)
        for file in self._store.sizes(f"{self._folder}/asked"):
            # A process was killed just after it logged the end.
            if file.removesuffix(SUFFIX) in self.state.ended:
                self._store.remove(f"{self._folder}/asked/{file}")
        for batch in list(self.state.open.values()):
            try:
                batch.requests = self._requests.setdefault(batch.name, {}) or self._load(batch.name)
            except MissingFile:
                if batch.file_id is not None:
                    logger.warning(
                        "the requests of batch %s have been removed; the batch is skipped", batch.name
                    )
                self.end(batch.name, "removed" if batch.file_id else "never submitted")

    def _load(self, name: str) -> dict[str, BatchRequest]:
        self._requests[name] = _from_json(self._store.read_bytes(self.requests_path(name)))
        return self._requests[name]

    def requests_path(self, name: str) -> str:
        """The file of a batch's requests, in the store."""
        return f"{self._folder}/asked/{name}{SUFFIX}"

    def _lock_file(self) -> Path:
        if self._store.is_folder:
            folder = self._store.path(self._folder)
            folder.mkdir(parents=True, exist_ok=True)
            return folder / ".lock"
        place = hashlib.sha256(self._store.describe(self._folder).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"wavcaps-batches-{place}.lock"


def _as_json(requests: Iterable[BatchRequest]) -> bytes:
    """Everything but the messages, which are in the uploaded file."""
    return json.dumps(
        [{"question": one.request.identity(), "source": one.source, "size": one.size} for one in requests]
    ).encode("ascii")


def _from_json(data: bytes) -> dict[str, BatchRequest]:
    requests = [
        BatchRequest(Request(**stored["question"]), stored["source"], stored["size"])
        for stored in json.loads(data)
    ]
    return {one.request.key: one for one in requests}
