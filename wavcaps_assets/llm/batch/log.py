"""What has been submitted in batches, written down before and after each step.

Each batch is `planned`, `uploaded`, `creating`, `created` and `ended`. What it asks is kept beside
the log from before its upload until after its end, so that whoever finds the batch can collect it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.batch.lines import BatchRequest, Refusal
from wavcaps_assets.llm.ledger import Request
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
        creating_at: when its creation was last asked for.
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
    """The log, read to its end.

    Attributes:
        open: batches that have not ended, by our name.
        ended: names of those that have.
        tries: by key, the batches that came back without its answer.
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
            for key, (reason, heals) in record["unanswered"].items():
                self.refusals[key] = Refusal(reason, heals)
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
    """The log of all batches in a store. Use it while it is `locked`.

    Args:
        store: a folder or a bucket.
        folder: of the log, in the store.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._log = AppendLog(store, folder)
        self._asked: dict[str, dict[str, BatchRequest]] = {}
        self.state = State()

    def __enter__(self) -> BatchLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[State]:
        """Reads the log, and keeps others from submitting meanwhile.

        Those others are the processes that share a folder; of a bucket, those of this machine.

        Raises:
            TimeoutError: another process kept it for so long.
        """
        try:
            with FileLock(self._lock_file(), timeout=timeout_s):
                self._read()
                yield self.state
        except Timeout:
            raise TimeoutError("another process submits or collects batches") from None

    def plan(self, name: str, url: str, requests: Sequence[BatchRequest]) -> LoggedBatch:
        """Writes down what a batch is to ask."""
        self.note("planned", name, url=url, requests=len(requests))
        self._store.write_bytes(self.asked_path(name), _as_json(requests))
        batch = self.state.open[name]
        batch.requests = self._asked[name] = {request.question.key: request for request in requests}
        return batch

    def note(self, event: str, name: str, **fields: Any) -> None:
        """Writes down one step."""
        record = {"event": event, "name": name, "at": utc_now().isoformat(), **fields}
        self._log.append(record)
        self.state.apply(record)

    def end(
        self, name: str, status: str, answered: int = 0, unanswered: Mapping[str, Refusal] | None = None
    ) -> None:
        """Writes down that nothing more is to come of a batch.

        Args:
            unanswered: what it was asked in vain, by key.
        """
        told = {key: [refusal.reason, refusal.heals] for key, refusal in (unanswered or {}).items()}
        self.note("ended", name, status=status, answered=answered, unanswered=told)
        self._asked.pop(name, None)
        self._store.remove(self.asked_path(name))

    def returned(self, keys: Sequence[str]) -> None:
        """Writes down that requests were given back unanswered: a later run may try them afresh."""
        if keys:
            self.note("returned", "", keys=list(keys))

    def _read(self) -> None:
        records: list[dict[str, Any]] = [record for record in self._log.read() if "event" in record]
        self.state = State()
        # Segments are in the order of their beginning, and two processes may have written by turns.
        for record in sorted(records, key=lambda record: str(record["at"])):
            self.state.apply(record)
        for file in self._store.sizes(f"{self._folder}/asked"):
            # Left by a process that was killed just after it wrote the end.
            if file.removesuffix(SUFFIX) in self.state.ended:
                self._store.remove(f"{self._folder}/asked/{file}")
        for batch in list(self.state.open.values()):
            try:
                batch.requests = self._asked.setdefault(batch.name, {}) or self._load(batch.name)
            except MissingFile:
                if batch.file_id is not None:
                    logger.warning("what batch %s asks has been removed; it is passed over", batch.name)
                self.end(batch.name, "removed" if batch.file_id else "never submitted")

    def _load(self, name: str) -> dict[str, BatchRequest]:
        self._asked[name] = _from_json(self._store.read_bytes(self.asked_path(name)))
        return self._asked[name]

    def asked_path(self, name: str) -> str:
        """Where it is kept, in the store, what a batch asks."""
        return f"{self._folder}/asked/{name}{SUFFIX}"

    def _lock_file(self) -> Path:
        if self._store.is_folder:
            folder = self._store.path(self._folder)
            folder.mkdir(parents=True, exist_ok=True)
            return folder / ".lock"
        place = hashlib.sha256(self._store.describe(self._folder).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"wavcaps-batches-{place}.lock"


def _as_json(requests: Iterable[BatchRequest]) -> bytes:
    """All but the messages, which are in the uploaded file."""
    return json.dumps(
        [
            {"question": asdict(request.question), "source": request.source, "size": request.size}
            for request in requests
        ]
    ).encode("ascii")


def _from_json(data: bytes) -> dict[str, BatchRequest]:
    requests = [
        BatchRequest(Request(**asked["question"]), (), asked["source"], asked["size"])
        for asked in json.loads(data)
    ]
    return {request.question.key: request for request in requests}
