"""From requests to answers through batches, in steps. A run may be killed after any of them."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.batch.endpoint import BatchEndpoint, Unreachable
from wavcaps_assets.llm.batch.lines import BatchRequest, Refusal, Results, described_error, split
from wavcaps_assets.llm.batch.log import BatchLog, LoggedBatch
from wavcaps_assets.llm.batch.settings import BatchSettings
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
    """One call of `BatchModel.answer_all`.

    Attributes:
        most: requests in a batch; less than the limit while the account's queue is full.
        queue_full: whether one batch is submitted at a time.
        in_progress: the requests that the endpoint has answered, for each batch that has not ended.
        no_room: the size of the last batch that the account's queue had no room for, and the message.
        trouble: why a batch could not be looked at.
        fatal: why no request can be answered.
    """

    limits: BatchSettings
    endpoint: BatchEndpoint
    log: BatchLog
    ledger: ResponseLedger
    wanted: Mapping[str, BatchRequest]
    progress: Progress
    most: int = 0
    queue_full: bool = False
    in_progress: dict[str, int] = field(default_factory=dict)
    no_room: tuple[int, str] | None = None
    trouble: str = ""
    fatal: EndpointError | None = None
    failed: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    collected: int = 0
    reported: int = -1

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
            except TimeoutError as error:
                raise self._pause(str(error)) from None
            left = deadline - time.monotonic()
            if left <= 0:
                waiting = len(list(self._open()))
                raise self._pause(self.trouble or f"{waiting} batches are in progress at {self.endpoint.url}")
            time.sleep(min(wait, left))
            wait = min(wait * SLOWER, self.limits.longest_poll_s)

    def _step(self) -> bool:
        """Looks at the batches and submits requests. Returns whether nothing more will come."""
        self.ledger.refresh()
        self._close_answered()
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
        return not held_back and not list(self._open())

    def _sweep(self) -> None:
        """Looks at each batch once."""
        self.trouble, self.in_progress, self.no_room = "", {}, None
        wanted = {batch.name for batch in self._open()}
        for batch in self._here():
            try:
                if batch.batch_id is not None and (batch.name in wanted or self.queue_full):
                    self._look(batch, batch.batch_id, batch.name in wanted)
                elif batch.name in wanted:
                    self._settle(batch)
            except Unavailable as error:
                self.in_progress[batch.name] = 0
                self.trouble = str(error)

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

    def _close_answered(self) -> None:
        """Ends batches whose answers are all in the ledger: their run was killed before it logged the end."""
        for batch in list(self.log.state.open.values()):
            if all(one.request in self.ledger for one in batch.requests.values()):
                self.log.end(batch.name, "answered", len(batch.requests))

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
        for group in split(lines, self.most, self.limits.bytes):
            if self.queue_full and self.in_progress:
                return True
            batch = self.log.plan(uuid.uuid4().hex, self.endpoint.url, [one for one, _ in group])
            file_id = self.endpoint.upload(f"{batch.name}.jsonl", b"".join(line for _, line in group))
            self.log.note("uploaded", batch.name, file_id=file_id)
            self._create(batch)
            self.in_progress[batch.name] = 0
            logger.info("batch %s with %d requests is submitted", batch.batch_id, len(group))
        return False

    def _create(self, batch: LoggedBatch, again: bool = True) -> None:
        self.log.note("creating", batch.name)
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
        settled = requested_at + timedelta(seconds=self.limits.creation_settles_s)
        while True:
            last_look = utc_now() >= settled
            found = self.endpoint.find(batch.name, requested_at - DAY)
            if found is not None or last_look:
                return found
            time.sleep(min(self.limits.poll_s, max(0.0, (settled - utc_now()).total_seconds())))

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
            self.log.end(batch.name, "never submitted")

    def _look(self, batch: LoggedBatch, batch_id: str, wanted: bool) -> None:
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
            return
        if remote.status == "failed" and not remote.output_file_id:
            self._not_started(batch, remote)
        else:
            self._collect(batch, remote)
            self.most = min(self.limits.requests, self.most * 2)

    def _not_started(self, batch: LoggedBatch, remote: Batch) -> None:
        errors = (remote.errors.data if remote.errors else None) or []
        code, message = described_error(errors[0].to_dict() if errors else {}, self.endpoint.secret)
        self.log.end(batch.name, f"failed: {code}")
        if code != QUEUE_FULL:
            line = f", line {errors[0].line}" if errors and errors[0].line is not None else ""
            self.fatal = EndpointError(
                f"{self.endpoint.url} rejects batch {remote.id}{line}: {message or 'no reason given'}"
            )
            return
        logger.warning("batch %s waits for room in the account's queue: %s", remote.id, message)
        self.queue_full = True
        self.no_room = (len(batch.requests), message)

    def _collect(self, batch: LoggedBatch, remote: Batch) -> None:
        """Stores a batch's answers in the ledger, and logs the requests without one."""
        ended_at = remote.completed_at or remote.expired_at or remote.cancelled_at
        seconds = max(0.0, (ended_at or utc_now().timestamp()) - remote.created_at)
        results = Results()
        for name, file_id in (("output", remote.output_file_id), ("error", remote.error_file_id)):
            if not file_id:
                continue
            data = self.endpoint.content(file_id)
            if data is None:
                results.problems[f"missing {name} file"] = [f"{file_id}, which may have expired"]
            else:
                results.read(name, data, batch.requests, seconds, self.endpoint.secret)
        for key, answer in results.answers.items():
            one = batch.requests[key]
            if one.request not in self.ledger:
                self.ledger.record(one.request, answer, one.source, one.size)
                self.collected += 1
        ended = Refusal(f"the batch is {remote.status} without a result", remote.status != "cancelled")
        unanswered = {
            key: results.refusals.get(key, ended) for key in batch.requests if key not in results.answers
        }
        fatal = [refusal for refusal in unanswered.values() if refusal.fatal]
        if fatal:
            self.fatal = EndpointError(
                f"{len(fatal)} requests of batch {remote.id} are refused, as all others would be: "
                f"{fatal[0].reason}. Earlier answers are kept"
            )
        counted = {key: refusal for key, refusal in unanswered.items() if not refusal.fatal}
        self.log.end(batch.name, remote.status, len(results.answers), counted)
        problems = [f"batch {remote.id}: {problem}" for problem in results.described_problems()]
        for problem in problems:
            logger.warning(problem)
        self.problems += problems
        counts = f"{len(results.answers)} answers, {len(unanswered)} requests without one"
        logger.info("batch %s is %s: %s", remote.id, remote.status, counts)

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
