"""From requests to answers through batches, in steps. A run may be killed after any of them."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.batch.collecting import Collector
from wavcaps_assets.llm.batch.endpoint import BatchEndpoint, Unreachable
from wavcaps_assets.llm.batch.lines import BatchRequest, described_error, split
from wavcaps_assets.llm.batch.log import BatchLog, LoggedBatch
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.budget import Budget, BudgetExhausted
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.network.errors import Paused, Unavailable
from wavcaps_assets.show.progress import Progress

if TYPE_CHECKING:
    from openai.types import Batch

logger = logging.getLogger(__name__)

ENDED = ("completed", "failed", "expired", "cancelled")
# The account's queue is full: not a fault of the batch, which was not started.
QUEUE_FULL = "token_limit_exceeded"
SLOWER = 1.5
DAY = timedelta(days=1)


@dataclass(frozen=True)
class BatchOutcome:
    """What became of the requests that no earlier run got an answer for.

    Attributes:
        collected: number of answers that came by batch, including batches that earlier runs submitted.
            All are in the ledger.
        failed: the reason for each request without an answer, by key.
        problems: lines in the batches' files that are not results of their requests.
    """

    collected: int
    failed: Mapping[str, str]
    problems: Sequence[str]


@dataclass
class BatchRun:
    """One call of `BatchModel.answer_all` or `BatchModel.collect`.

    Attributes:
        most: requests in a batch; less than the limit while the account's queue is full.
        queue_full: whether one batch is submitted at a time.
        in_progress: the requests that the endpoint has answered, for each batch that has not ended.
        no_room: the size of the last batch that the account's queue had no room for, and the message.
        refusal: why the budget has no room for the next request.
        trouble: why a batch could not be looked at.
        fatal: why no request can be answered.
        swept: whether the batches of other requests have been looked at.
        look_until: by batch, until when this run looks for one whose creation got no response (monotonic, s).
    """

    limits: BatchSettings
    endpoint: BatchEndpoint
    log: BatchLog
    ledger: ResponseLedger
    budget: Budget
    wanted: Mapping[str, BatchRequest]
    progress: Progress
    most: int = 0
    queue_full: bool = False
    in_progress: dict[str, int] = field(default_factory=dict)
    no_room: tuple[int, str] | None = None
    refusal: BudgetExhausted | None = None
    trouble: str = ""
    fatal: EndpointError | None = None
    swept: bool = False
    look_until: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    collected: int = 0
    reported: int = -1

    def __post_init__(self) -> None:
        self.collector = Collector(self.endpoint, self.log, self.ledger, self.budget)

    def finish(self) -> BatchOutcome:
        self.most = self.limits.requests
        wait, deadline = self.limits.poll_s, time.monotonic() + self.limits.wait_in_place_s
        while True:
            left = deadline - time.monotonic()
            try:
                with self.log.locked(max(left, 1.0)):
                    if self._step():
                        self.log.returned([key for key in self.failed if key in self.log.state.refusals])
                        return BatchOutcome(self.collected, self.failed, self.problems)
            except TimeoutError:
                raise self._pause("another process submits or collects batches") from None
            left = deadline - time.monotonic()
            if left <= 0:
                waiting = len(list(self._open()))
                raise self._pause(self.trouble or f"{waiting} batches are in progress at {self.endpoint.url}")
            time.sleep(min(wait, left))
            wait = min(wait * SLOWER, self.limits.longest_poll_s)

    def collect(self) -> None:
        """Looks once at each batch, of any run.

        Raises:
            TimeoutError: another process submits or collects batches.
        """
        with self.log.locked(1.0):
            self.ledger.refresh()
            self._sweep()

    def _step(self) -> bool:
        """Looks at the batches and submits requests. Returns whether nothing more will come."""
        self.ledger.refresh()
        self._sweep()
        self._report()
        if self.fatal is not None:
            raise self.fatal
        if self.no_room is not None and not self.in_progress:
            size, message = self.no_room
            if size == 1:
                raise self._pause(f"the account's queue is full: {message}")
            self.most = max(1, size // 2)
        try:
            held_back = self._submit()
        except Unavailable as error:
            if isinstance(error, Unreachable) and not self.in_progress:
                raise EndpointError(f"{error}: check WAVCAPS_LLM__BASE_URL") from error
            raise self._pause(str(error)) from error
        if self.refusal is not None and not list(self._open()):
            total = len(self.wanted)
            answered = total - sum(1 for _ in self._missing())
            raise BudgetExhausted(
                f"{answered} of {total} requests have been answered by batch, and no other fits: "
                f"{self.refusal}",
                self.refusal.setting,
                self.refusal.until,
            )
        return not held_back and not list(self._open())

    def _sweep(self) -> None:
        """Looks once at each batch; at other requests' batches in the first sweep or with a full queue."""
        self.trouble, self.in_progress, self.no_room = "", {}, None
        self.collector.release_unused()
        wanted = {batch.name for batch in self._open()}
        others, self.swept = self.queue_full or not self.swept, True
        for batch in self._here():
            if batch.name in wanted:
                try:
                    self._look(batch, True)
                except Unavailable as error:
                    self.in_progress[batch.name] = 0
                    self.trouble = str(error)
            elif others:
                try:
                    self._look(batch, False)
                except (Unavailable, EndpointError) as error:
                    logger.warning("an earlier batch cannot be collected now: %s", error)

    def _missing(self) -> Iterator[BatchRequest]:
        return (one for one in self.wanted.values() if one.request not in self.ledger)

    def _here(self) -> list[LoggedBatch]:
        return [batch for batch in self.log.state.open.values() if batch.url == self.endpoint.url]

    def _open(self) -> Iterator[LoggedBatch]:
        """The batches that contain a wanted request."""
        missing = {one.request.key for one in self._missing()}
        for batch in self._here():
            if not missing.isdisjoint(batch.requests):
                yield batch

    def _submit(self) -> bool:
        """Submits the requests that are not yet in a batch. Returns whether some were held back."""
        state = self.log.state
        submitted = {key for batch in self._open() for key in batch.requests}
        lines: list[tuple[BatchRequest, bytes]] = []
        for one in self._missing():
            key = one.request.key
            refusal = state.refusals.get(key)
            tries = len(state.tries.get(key, ()))
            if refusal is not None and (not refusal.temporary or tries >= self.limits.attempts):
                self.failed[key] = refusal.reason if tries < 2 else f"{refusal.reason} ({tries} times)"
            elif key not in submitted and key not in self.failed:
                line = one.line()
                if len(line) > self.limits.bytes:
                    self.failed[key] = f"it has {len(line)} bytes; a batch has {self.limits.bytes} at most"
                else:
                    lines.append((one, line))
        # After a refusal, answers make room: they cost far less than what is reserved for them.
        if lines and self.refusal is not None and submitted:
            return True
        self.refusal = None
        for group in split(lines, self.most, self.limits.bytes):
            if self.queue_full and self.in_progress:
                return True
            if not self._submit_group(group):
                return True
        return False

    def _submit_group(self, group: Sequence[tuple[BatchRequest, bytes]]) -> bool:
        """Submits the first requests of a group, as many as the budget has room for. Returns whether all."""
        reserved = self.budget.reserve_batch(one.request for one, _ in group)
        self.refusal = reserved.refusal
        if not reserved.pico:
            return False
        requests = [replace(one, pico=pico) for (one, _), pico in zip(group, reserved.pico, strict=False)]
        batch = self.log.plan(uuid.uuid4().hex, self.endpoint.url, requests, reserved.reservation)
        data = b"".join(line for _, line in group[: len(requests)])
        file_id = self.endpoint.upload(f"{batch.name}.jsonl", data)
        self.log.note("uploaded", batch.name, file_id=file_id)
        self._create(batch)
        self.in_progress[batch.name] = 0
        logger.info("batch %s with %d requests is submitted", batch.batch_id, len(requests))
        return self.refusal is None

    def _create(self, batch: LoggedBatch, again: bool = True) -> None:
        self.log.require_lock()
        self.log.note("creating", batch.name)
        self.look_until.pop(batch.name, None)
        try:
            created = self.endpoint.create(batch.file_id or "", batch.name)
        except Unavailable:
            if not again:
                raise
            found = self._find(batch)
            if found is None:
                self._create(batch, again=False)
                return
            created = found
        self.log.note("created", batch.name, batch_id=created.id)

    def _find(self, batch: LoggedBatch) -> Batch | None:
        """The batch at the endpoint. Its creation was requested, and the response was lost."""
        requested_at = batch.creating_at or utc_now()
        # By this machine's clock: another one may have requested it.
        until = self.look_until.setdefault(batch.name, time.monotonic() + self.limits.creation_settles_s)
        while True:
            last_look = time.monotonic() >= until
            found = self.endpoint.find(batch.name, requested_at - DAY)
            if found is not None or last_look:
                return found
            time.sleep(min(self.limits.poll_s, max(0.0, until - time.monotonic())))

    def _look(self, batch: LoggedBatch, wanted: bool) -> None:
        if batch.removed:
            self.collector.end_removed(batch)
        elif batch.batch_id is None:
            self._settle(batch)
        else:
            self._look_at(batch, batch.batch_id, wanted)

    def _settle(self, batch: LoggedBatch) -> None:
        """Continues a batch whose run ended before its creation was confirmed."""
        if batch.creating_at is not None and (found := self._find(batch)) is not None:
            self.log.note("created", batch.name, batch_id=found.id)
            return
        missing = {one.request.key for one in self._missing()}
        fresh = batch.uploaded_at is not None and utc_now() - batch.uploaded_at < DAY
        if fresh and missing.issuperset(batch.requests):
            self._create(batch)
        else:
            self.collector.end_unsent(batch, "never submitted")

    def _look_at(self, batch: LoggedBatch, batch_id: str, wanted: bool) -> None:
        remote = self.endpoint.retrieve(batch_id)
        if remote is None:
            if not wanted:
                return
            raise EndpointError(
                f"{self.endpoint.url} has no batch {batch_id}, which was submitted there, perhaps with "
                "another account's key: check WAVCAPS_LLM__API_KEY; or, to submit its requests again, remove "
                f"{self.log.requests_path(batch.name)} from the store"
            )
        if remote.status not in ENDED:
            self.in_progress[batch.name] = remote.request_counts.completed if remote.request_counts else 0
        elif remote.status == "failed" and not remote.output_file_id:
            self._not_started(batch, remote, wanted)
        else:
            self._collect(batch, remote, wanted)

    def _not_started(self, batch: LoggedBatch, remote: Batch, wanted: bool) -> None:
        errors = (remote.errors.data if remote.errors else None) or []
        code, message = described_error(errors[0].to_dict() if errors else {}, self.endpoint.secret)
        self.collector.end_unsent(batch, f"failed: {code}")
        if not wanted:
            return
        if code != QUEUE_FULL:
            line = f", line {errors[0].line}" if errors and errors[0].line is not None else ""
            self.fatal = EndpointError(
                f"{self.endpoint.url} rejects batch {remote.id}{line}: {message or 'no reason given'}"
            )
            return
        logger.warning("batch %s waits for room in the account's queue: %s", remote.id, message)
        self.queue_full = True
        self.no_room = (len(batch.requests), message)

    def _collect(self, batch: LoggedBatch, remote: Batch, wanted: bool) -> None:
        collection = self.collector.collect(batch, remote)
        if collection is None:
            self.in_progress[batch.name] = 0
            return
        self.most = min(self.limits.requests, self.most * 2)
        self.collected += collection.new
        self.problems += collection.problems
        fatal = [refusal for refusal in collection.unanswered.values() if refusal.fatal]
        if fatal and wanted:
            self.fatal = EndpointError(
                f"{len(fatal)} requests of batch {remote.id} are refused, as all others would be: "
                f"{fatal[0].reason}. Earlier answers are kept"
            )

    def _report(self) -> None:
        total = len(self.wanted)
        done = total - sum(1 for _ in self._missing())
        done += sum(self.in_progress.get(batch.name, 0) for batch in self._open())
        if done != self.reported:
            self.reported = done
            logger.info("%d of %d requests are answered by batch", done, total)
        self.progress.update(min(done, total), total, "by batch")

    def _pause(self, reason: str) -> Paused:
        until = utc_now() + timedelta(seconds=self.limits.pause_s)
        return Paused(reason, until)
