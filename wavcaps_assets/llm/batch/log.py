"""A log of all batches and of their reservations, written before and after each step.

Each batch is `planned`, `uploaded`, `creating`, `created` and `ended`. Its requests are in a file next to
the log from before its upload until after its end, so that any later run can collect the batch. Its
reservation is in the first record: any run can replace it by the real cost.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.batch.lines import BatchRequest, Refusal
from wavcaps_assets.llm.records import Request
from wavcaps_assets.llm.reservations import Reservation
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.machines import has_conditional_writes
from wavcaps_assets.store.shared_leases import SharedLeases, lease_held
from wavcaps_assets.store.storage import MissingFile, Store

logger = logging.getLogger(__name__)

SUFFIX = ".json"
# The lease in a bucket.
LOCK = "batches"
# The log, in the store.
BATCHES = "log/batches"
# The log of reservations by request, which older versions kept.
OLD_RESERVATIONS = "log/batches_reserved"


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
        reservation: of its maximum cost; None: it was planned by a version that logged it elsewhere.
        incomplete: how often its result files were found incomplete.
        removed: whether the file of its requests is gone.
    """

    name: str
    url: str
    file_id: str | None = None
    uploaded_at: datetime | None = None
    creating_at: datetime | None = None
    batch_id: str | None = None
    requests: dict[str, BatchRequest] = field(default_factory=dict)
    reservation: Reservation | None = None
    incomplete: int = 0
    removed: bool = False


@dataclass
class State:
    """The state of all batches, from the log.

    Attributes:
        open: batches that have not ended, by our name.
        ended: names of those that have.
        tries: by key, the batches that ended without its answer.
        refusals: by key, the last reason.
        reserved: by key, reservations of single requests, which older versions made.
        last: the number of the last record.
    """

    open: dict[str, LoggedBatch] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    tries: dict[str, set[str]] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    reserved: dict[str, Reservation] = field(default_factory=dict)
    last: int = 0

    def apply(self, record: Mapping[str, Any]) -> None:
        event, name = record["event"], record["name"]
        self.last = max(self.last, record.get("n", 0))
        if event == "returned":
            for key in record["keys"]:
                self.tries.pop(key, None)
                self.refusals.pop(key, None)
        elif event == "reserved":
            self.reserved |= {key: Reservation(*stored) for key, stored in record["requests"].items()}
        elif event == "released":
            for key in record["keys"]:
                self.reserved.pop(key, None)
        elif event == "planned" and name not in self.ended:
            planned = self.open.setdefault(name, LoggedBatch(name, record["url"]))
            if "reserved" in record:
                planned.reservation = Reservation(*record["reserved"])
        elif event == "ended":
            self.open.pop(name, None)
            self.ended.add(name)
            for key in record.get("released", ()):
                self.reserved.pop(key, None)
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
            elif event == "incomplete":
                batch.incomplete += 1


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
        self._leases = SharedLeases(store, folder, "lock")
        self._in_bucket = False
        self._requests: dict[str, dict[str, BatchRequest]] = {}
        self.state = State()

    def __enter__(self) -> BatchLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        self._leases.close()

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[State]:
        """Reads the log, and keeps other processes from submitting in the meantime.

        For a folder, these are all processes that share it; for a bucket, those of all machines, or, without
        conditional writes, those on this machine.

        Raises:
            TimeoutError: another process held the lock for this long.
        """
        with self._exclusive(timeout_s) as self._in_bucket:
            self._read()
            yield self.state

    def require_lock(self) -> None:
        """Checks, before something is submitted, that the lock is still this process's.

        Raises:
            LostLease: it or its machine slept, and another one has submitted or collected batches since.
        """
        if self._in_bucket:
            self._leases.require(LOCK)

    def is_empty(self) -> bool:
        """Whether nothing was ever logged in this store."""
        return not self._store.sizes(self._folder) and not self._old_reservations()

    def plan(
        self, name: str, url: str, requests: Sequence[BatchRequest], reservation: Reservation
    ) -> LoggedBatch:
        """Logs a batch and stores its requests, before it is uploaded."""
        self.require_lock()
        reserved = [reservation.run, reservation.month, reservation.pico]
        self.note("planned", name, url=url, requests=len(requests), reserved=reserved)
        self._store.write_bytes(self.requests_path(name), _as_json(requests))
        batch = self.state.open[name]
        batch.requests = self._requests[name] = {one.request.key: one for one in requests}
        return batch

    def note(self, event: str, name: str, **fields: Any) -> None:
        """Logs one step."""
        n = self.state.last + 1
        record = {"event": event, "name": name, "at": utc_now().isoformat(), "n": n, **fields}
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
        # Reservations of older versions end with their batch.
        released = [key for key in self.state.open[name].requests if key in self.state.reserved]
        more = {"released": released} if released else {}
        self.note("ended", name, status=status, answered=answered, unanswered=reasons, **more)
        self._requests.pop(name, None)
        self._store.remove(self.requests_path(name))

    def returned(self, keys: Sequence[str]) -> None:
        """Logs that requests were returned without an answer: a later run may try them again."""
        if keys:
            self.note("returned", "", keys=list(keys))

    def _read(self) -> None:
        records: list[dict[str, Any]] = [record for record in self._log.read() if "event" in record]
        self.state = State()
        # Segments are sorted by their start, and processes may have written alternately, on machines whose
        # clocks differ. Older versions did not number their records.
        for record in sorted(records, key=lambda record: (record.get("n", 0), str(record["at"]))):
            self.state.apply(record)
        self._take_over()
        for file in self._store.sizes(f"{self._folder}/asked"):
            # A process was killed just after it logged the end.
            if file.removesuffix(SUFFIX) in self.state.ended:
                self._store.remove(f"{self._folder}/asked/{file}")
        for batch in self.state.open.values():
            try:
                batch.requests = self._requests.setdefault(batch.name, {}) or self._load(batch.name)
            except MissingFile:
                batch.removed = True
            for key in batch.requests.keys() & self.state.reserved.keys():
                batch.requests[key] = replace(batch.requests[key], pico=self.state.reserved[key].pico)

    def _take_over(self) -> None:
        """Moves the log of reservations that older versions kept into this one."""
        old = self._old_reservations()
        if not old:
            return
        held: dict[str, Any] = {}
        with AppendLog(self._store, OLD_RESERVATIONS) as log:
            for record in sorted(log.read(), key=lambda record: str(record["at"])):
                held.pop(record["key"], None)
                if record["held"]:
                    held[record["key"]] = [record["run"], record["month"], record["pico"]]
        if held:
            self.note("reserved", "", requests=held)
        self._store.remove(OLD_RESERVATIONS)

    def _old_reservations(self) -> bool:
        return bool(self._store.sizes(OLD_RESERVATIONS))

    def _load(self, name: str) -> dict[str, BatchRequest]:
        self._requests[name] = _from_json(self._store.read_bytes(self.requests_path(name)))
        return self._requests[name]

    def requests_path(self, name: str) -> str:
        """The file of a batch's requests, in the store."""
        return f"{self._folder}/asked/{name}{SUFFIX}"

    @contextmanager
    def _exclusive(self, timeout_s: float) -> Iterator[bool]:
        """Gives whether the lock is a lease in the bucket."""
        if not self._store.is_folder and has_conditional_writes(self._store, self._folder):
            with lease_held(self._leases, LOCK, timeout_s):
                yield True
        else:
            with FileLock(self._lock_file(), timeout=timeout_s):
                yield False

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
        [
            {"question": one.request.identity(), "source": one.source, "size": one.size, "pico": one.pico}
            for one in requests
        ]
    ).encode("ascii")


def _from_json(data: bytes) -> dict[str, BatchRequest]:
    requests = [
        BatchRequest(Request(**stored["question"]), stored["source"], stored["size"], stored.get("pico"))
        for stored in json.loads(data)
    ]
    return {one.request.key: one for one in requests}
