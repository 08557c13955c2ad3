"""Has questions answered by batches, as far as a budget goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from wavcaps_assets.llm.batch.model import BatchModel, BatchRequest, BatchSettings
from wavcaps_assets.llm.batch.reservations import Reserved
from wavcaps_assets.llm.budget import Budget, BudgetExhausted, Reservation
from wavcaps_assets.llm.estimate import Planned
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.tokens import size
from wavcaps_assets.store.storage import Store


def by_batch(
    planned: Iterable[Planned],
    source: str,
    llm: ModelSettings,
    store: Store,
    ledger: ResponseLedger,
    budget: Budget,
    limits: BatchSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Has the questions answered by batches: as many at a time as the budget has room for.

    What is submitted is paid for, whether or not this run lives to collect it: it stays set aside in the
    month's counter until a run has.

    Args:
        progress: told how many requests have been answered, of how many.

    Returns:
        By the key of each question that got no answer, the reason.

    Raises:
        As `BatchModel.answer_all`, and BudgetExhausted: not all of it fits. What fits has been answered.
    """
    once = {question.key: (question, messages) for question, messages in planned if question not in ledger}
    waiting = [BatchRequest(*asked, source, size(asked[1])) for asked in once.values()]
    total, failed = len(waiting), dict[str, str]()
    model = BatchModel(llm, store, limits=limits)
    # In a bucket there is no counter that outlives a run: all is set aside anew.
    lasting = bool(llm.budget_month_usd) and store.is_folder
    with Reserved(store) if lasting else nullcontext() as reserved:
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
            told = _counted_on(progress, before, total)
            ended = not reserved
            try:
                failed |= model.answer_all(fitting.requests, ledger, told).failed
                ended = True
            finally:
                _settle(fitting, ledger, budget, reserved, ended)
            waiting = fitting.others
    return failed


@dataclass
class Fitting:
    """Requests that the budget has room for, with what is set aside for them, and those that it has not.

    Attributes:
        refusal: what the budget said of the first of the others.
    """

    requests: list[BatchRequest] = field(default_factory=list)
    held: dict[str, Reservation] = field(default_factory=dict)
    others: list[BatchRequest] = field(default_factory=list)
    refusal: BudgetExhausted | None = None


def _fitting(waiting: Sequence[BatchRequest], budget: Budget, reserved: Reserved | None) -> Fitting:
    found = Fitting()
    fresh: dict[str, Reservation] = {}
    try:
        for request in waiting:
            key = request.question.key
            reservation = reserved.get(key) if reserved else None
            if reservation is None and found.refusal is None:
                try:
                    reservation = fresh[key] = budget.reserve(
                        request.messages, request.question.parameters, batch=True
                    )
                except BudgetExhausted as refusal:
                    found.refusal = refusal
            if reservation is None:
                found.others.append(request)
            else:
                found.requests.append(request)
                found.held[key] = reservation
    except BaseException:
        for reservation in fresh.values():
            budget.release(reservation)
        raise
    if reserved:
        reserved.hold(fresh)
    return found


def _settle(
    fitting: Fitting, ledger: ResponseLedger, budget: Budget, reserved: Reserved | None, ended: bool
) -> None:
    """Replaces what was set aside by what was paid; what has no answer is given back if all has ended."""
    done = []
    for request in fitting.requests:
        answer = ledger.get(request.question)
        if answer is None and not ended:
            continue
        reservation = fitting.held[request.question.key]
        if answer is None:
            budget.release(reservation)
        else:
            budget.settle(answer, reservation)
        done.append(request.question.key)
    if reserved:
        reserved.end(done)


def _counted_on(
    progress: Callable[[int, int], None] | None, before: int, total: int
) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, _: progress(before + done, total)


def told_failures(failed: Mapping[str, str]) -> str:
    """How many requests got no answer, and why the first did not; for the log."""
    first = next(iter(failed.values()))
    return f"{len(failed)} requests got no answer by batch and are asked online; the first: {first}"
