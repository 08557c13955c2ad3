"""What a batch that has ended gave: answers for the ledger, requests without one, and its cost."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.batch.endpoint import BatchEndpoint
from wavcaps_assets.llm.batch.lines import BatchRequest, Refusal, Results
from wavcaps_assets.llm.batch.log import BatchLog, LoggedBatch
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.records import LOST, Answer, answer_in, lost_record, record_of
from wavcaps_assets.llm.reservations import PICO

if TYPE_CHECKING:
    from openai.types import Batch

logger = logging.getLogger(__name__)

# How often result files are fetched before what is missing in them is lost.
FETCHES = 3


@dataclass(frozen=True)
class Collection:
    """What came of a batch.

    Attributes:
        new: answers that the ledger did not have.
        unanswered: by key, why a request has no answer.
        problems: lines that are not results, and files that are missing or incomplete.
    """

    new: int
    unanswered: Mapping[str, Refusal]
    problems: Sequence[str]


@dataclass(frozen=True)
class Collector:
    """Collects batches, and replaces their reservations by what they cost.

    A request whose result is lost counts as spent at its maximum, and is in the ledger as lost.
    """

    endpoint: BatchEndpoint
    log: BatchLog
    ledger: ResponseLedger
    budget: Budget

    def collect(self, batch: LoggedBatch, remote: Batch) -> Collection | None:
        """Stores a batch's answers in the ledger, and ends the batch in the log.

        Returns:
            None: its files do not hold what the endpoint counted. They are fetched again later.
        """
        results = self._fetch(batch, remote)
        incomplete = self._incomplete(batch, remote, results)
        new = self._store(batch, results)
        if incomplete and batch.incomplete + 1 < FETCHES:
            self.log.note("incomplete", batch.name)
            logger.warning("batch %s is fetched again later: %s", remote.id, incomplete)
            return None
        if incomplete:
            results.problem("result file that stays incomplete", incomplete)
        unanswered = self._unanswered(batch, remote, results)
        self._finish(batch, remote.status, results, unanswered)
        problems = [f"batch {remote.id}: {problem}" for problem in results.described_problems()]
        for problem in problems:
            logger.warning(problem)
        answered = len(batch.requests) - len(unanswered)
        logger.info(
            "batch %s is %s: %d answers, %d requests without one",
            remote.id,
            remote.status,
            answered,
            len(unanswered),
        )
        return Collection(new, unanswered, problems)

    def end_unsent(self, batch: LoggedBatch, status: str) -> None:
        """Ends a batch none of whose requests was sent."""
        self._end(batch, status, 0, {}, 0)

    def end_removed(self, batch: LoggedBatch) -> None:
        """Ends a batch whose file of requests was removed: if it was submitted, all of it counts as spent."""
        if batch.file_id is None:
            self.end_unsent(batch, "never submitted")
            return
        logger.warning("the requests of batch %s have been removed; the batch is skipped", batch.name)
        self._end(batch, "removed", 0, {}, None)

    def release_unused(self) -> None:
        """Releases reservations of older versions whose requests are in no batch any more."""
        state = self.log.state
        if not state.reserved:
            return
        used = {key for batch in state.open.values() for key in batch.requests}
        unused = {key: one for key, one in state.reserved.items() if key not in used}
        if unused:
            self.log.note("released", "", keys=list(unused))
            for key, one in unused.items():
                record = self.ledger.find(key)
                answer = None if record is None else answer_in(record)
                if record is not None and answer is not None:
                    answer = self.budget.priced(answer, str(record["question"]["model"]), one.pico)
                self.budget.settle_batch(one, round((answer.cost_usd or 0.0) * PICO) if answer else 0)

    def _fetch(self, batch: LoggedBatch, remote: Batch) -> Results:
        ended_at = remote.completed_at or remote.expired_at or remote.cancelled_at
        seconds = max(0.0, (ended_at or utc_now().timestamp()) - remote.created_at)
        results = Results()
        for name, file_id in (("output", remote.output_file_id), ("error", remote.error_file_id)):
            if not file_id:
                continue
            data = self.endpoint.content(file_id)
            if data is None:
                results.problem(f"missing {name} file", f"{file_id}, which may have expired")
            else:
                results.read(name, data, batch.requests, seconds, self.endpoint.secret)
        return results

    @staticmethod
    def _incomplete(batch: LoggedBatch, remote: Batch, results: Results) -> str:
        """What the files lack of what the endpoint counted; empty: nothing."""
        missing = [kind for kind in results.problems if kind.startswith("missing")]
        if missing:
            return ", ".join(missing)
        counts = remote.request_counts
        if counts is None:
            return ""
        found, most = len(results.processed), len(batch.requests)
        lines = len(results.processed | results.answers.keys() | results.refusals.keys())
        if found < min(counts.completed, most) or lines < min(counts.completed + counts.failed, most):
            return (
                f"{counts.completed} requests were completed and {counts.failed} failed, "
                f"and the files have {found} of the former and {lines - found} of the latter"
            )
        return ""

    def _store(self, batch: LoggedBatch, results: Results) -> int:
        """Stores what was paid for. Returns how many answers are new."""
        records: list[Mapping[str, Any]] = []
        new = 0
        for key, one in results.answers.items():
            asked = batch.requests[key]
            answer = results.answers[key] = self.budget.priced(one, asked.request.model, asked.pico)
            known = self.ledger.get(asked.request)
            if known is None:
                new += 1
                records.append(record_of(asked.request, answer, asked.source, asked.size))
            elif (known.text, known.batch) != (answer.text, True):
                # It was asked online too, and both are paid for.
                records += self._lost(batch, asked, answer)
        self._record(records)
        return new

    def _unanswered(self, batch: LoggedBatch, remote: Batch, results: Results) -> dict[str, Refusal]:
        """Why requests have no answer. Those that are charged are stored as lost."""
        ended = Refusal(f"the batch is {remote.status} without a result", remote.status != "cancelled")
        without: dict[str, Refusal] = {}
        lost: list[BatchRequest] = []
        for key, asked in batch.requests.items():
            if key in results.answers or self._answered_by_batch(asked):
                continue
            if (refusal := results.refusals.get(key)) is not None:
                without[key] = refusal
                continue
            without[key] = ended
            lost.append(asked)
        lost.sort(key=lambda one: one.pico or 0, reverse=True)
        for asked in lost[: self._charged(remote, results, len(lost))]:
            without[asked.request.key] = replace(ended, charged=Answer("", LOST, batch=True))
        records = []
        for key, refusal in without.items():
            if refusal.charged is not None:
                asked = batch.requests[key]
                charged = self.budget.priced(refusal.charged, asked.request.model, asked.pico)
                without[key] = replace(refusal, charged=charged)
                records += self._lost(batch, asked, replace(charged, finish_reason=LOST))
        self._record(records)
        return without

    @staticmethod
    def _charged(remote: Batch, results: Results, lost: int) -> int:
        """How many of the requests without any line may have been charged."""
        counts, found = remote.request_counts, len(results.processed)
        if remote.status == "completed" or counts is None or counts.completed < found:
            return lost
        # An expired or cancelled batch does not send its last requests.
        return min(lost, counts.completed - found)

    def _finish(
        self, batch: LoggedBatch, status: str, results: Results, unanswered: Mapping[str, Refusal]
    ) -> None:
        spent = 0.0
        for key, asked in batch.requests.items():
            if (refusal := unanswered.get(key)) is not None:
                paid = refusal.charged
            else:
                # The ledger alone has it if an earlier look found more in the files.
                paid = results.answers.get(key) or self.ledger.get(asked.request)
            spent += (paid.cost_usd or 0.0) if paid is not None else 0.0
        counted = {key: refusal for key, refusal in unanswered.items() if not refusal.fatal}
        self._end(batch, status, len(batch.requests) - len(unanswered), counted, round(spent * PICO))

    def _end(
        self,
        batch: LoggedBatch,
        status: str,
        answered: int,
        unanswered: Mapping[str, Refusal],
        pico: int | None,
    ) -> None:
        """Logs the end, then settles: a kill in between leaves more counted as spent, never less.

        Args:
            pico: the cost (10^-12 USD); None: all that was reserved.
        """
        reserved = self.log.state.reserved
        held = [reserved[key] for key in batch.requests if key in reserved]
        if batch.reservation is not None:
            held.append(batch.reservation)
        self.log.end(batch.name, status, answered, unanswered)
        if not held:
            self.budget.settle_batch(None, pico or 0)
        for number, one in enumerate(held):
            share = one.pico if pico is None else pico if number == 0 else 0
            self.budget.settle_batch(one, share)

    def _answered_by_batch(self, asked: BatchRequest) -> bool:
        answer = self.ledger.get(asked.request)
        return answer is not None and answer.batch

    def _lost(self, batch: LoggedBatch, asked: BatchRequest, paid: Answer) -> list[Mapping[str, Any]]:
        """The record of what was paid and not used, once for each batch and request."""
        name = f"{asked.request.key} {batch.name}"
        key = hashlib.sha256(name.encode()).hexdigest()
        if self.ledger.find(key) is not None:
            return []
        record = lost_record(asked.request, replace(paid, finish_reason=LOST), asked.source, asked.size)
        return [{**record, "key": key}]

    def _record(self, records: Sequence[Mapping[str, Any]]) -> None:
        if records:
            self.ledger.record_many(records)
