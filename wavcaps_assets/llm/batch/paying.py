"""Answers requests through batches, as far as a budget allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from wavcaps_assets.llm.batch.lines import BatchRequest
from wavcaps_assets.llm.batch.model import BatchModel
from wavcaps_assets.llm.batch.reservations import BatchReservations
from wavcaps_assets.llm.budget import Budget, BudgetExhausted, Reservation
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.records import Request
from wavcaps_assets.llm.tokens import size
from wavcaps_assets.show.progress import Facts, NoProgress, Progress


def answer_by_batch(
    requests: Iterable[Request],
    model: BatchModel,
    ledger: ResponseLedger,
    budget: Budget,
    label: str = "",
    progress: Progress | None = None,
) -> dict[str, str]:
    """Answers requests through batches: as many at a time as the budget has room for.

    A submitted request is paid for, whether or not this run lives to collect it: its reservation stays in
    the month's total until a run collects it.

    Args:
        label: stored with each answer.
        progress: receives how many requests are answered.

    Returns:
        The reason for each request that got no answer, by the request's key.

    Raises:
        As `BatchModel.answer_all`, and BudgetExhausted: not all requests fit. Those that fit are answered.
    """
    once = {request.key: request for request in requests if request not in ledger}
    waiting = [BatchRequest(request, label, size(request.messages)) for request in once.values()]
    total, failed = len(waiting), dict[str, str]()
    # In a bucket no total outlives a run: all of it is reserved again.
    lasting = bool(model.settings.budget_month_usd) and model.store.is_folder
    with BatchReservations(model.store) if lasting else nullcontext() as reserved:
        while waiting:
            before = total - len(waiting)
            fitting = _fitting(waiting, budget, reserved)
            if not fitting.requests and fitting.refusal is not None:
                raise BudgetExhausted(
                    f"{before - len(failed)} of {total} requests have been answered by batch, and no other "
                    f"fits: {fitting.refusal}",
                    fitting.refusal.setting,
                    fitting.refusal.until,
                ) from None
            part = PartOf(progress or NoProgress(), before, total)
            ended = not reserved
            try:
                failed |= model.answer_all(fitting.requests, ledger, part).failed
                ended = True
            finally:
                _settle(fitting, ledger, budget, reserved, ended)
            waiting = fitting.others
    return failed


class PartOf:
    """The progress of one part of the requests, shown as progress of all of them."""

    def __init__(self, progress: Progress, before: int, total: int) -> None:
        self._progress = progress
        self._before = before
        self._total = total

    def update(self, done: int, total: int, note: str = "") -> None:
        self._progress.update(self._before + done, self._total, note)

    def record(self, facts: Facts) -> None:
        self._progress.record(facts)


@dataclass
class Fitting:
    """Requests that fit the budget, with their reservations, and the others.

    Attributes:
        refusal: why the budget refused the first of the others.
    """

    requests: list[BatchRequest] = field(default_factory=list)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    others: list[BatchRequest] = field(default_factory=list)
    refusal: BudgetExhausted | None = None


def _fitting(waiting: Sequence[BatchRequest], budget: Budget, reserved: BatchReservations | None) -> Fitting:
    found = Fitting()
    fresh: dict[str, Reservation] = {}
    try:
        for one in waiting:
            key = one.request.key
            reservation = reserved.get(key) if reserved else None
            if reservation is None and found.refusal is None:
                try:
                    reservation = fresh[key] = budget.reserve(
                        one.request.messages, one.request.parameters, batch=True
                    )
                except BudgetExhausted as refusal:
                    found.refusal = refusal
            if reservation is None:
                found.others.append(one)
            else:
                found.requests.append(one)
                found.reservations[key] = reservation
    except BaseException:
        for reservation in fresh.values():
            budget.release(reservation)
        raise
    if reserved:
        reserved.add(fresh)
    return found


def _settle(
    fitting: Fitting,
    ledger: ResponseLedger,
    budget: Budget,
    reserved: BatchReservations | None,
    ended: bool,
) -> None:
    """Replaces reservations by real costs. Releases those without an answer once all batches ended."""
    settled = []
    for one in fitting.requests:
        answer = ledger.get(one.request)
        if answer is None and not ended:
            continue
        reservation = fitting.reservations[one.request.key]
        if answer is None:
            budget.release(reservation)
        else:
            budget.settle(answer, reservation)
        settled.append(one.request.key)
    if reserved:
        reserved.end(settled)
