"""A hard limit on the cost of a run and of a calendar month.

Before a request is sent, its maximum cost is reserved; the real cost of the answer replaces the
reservation. A reservation is never exceeded: a prompt has no more tokens than bytes, and an answer no more
than `max_tokens`. The totals of runs and months are next to the ledger: in a folder, in a file that all
processes share; in a bucket with conditional writes, in objects that all machines share. In any other bucket
each run starts from what the ledger says.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm import spending_totals
from wavcaps_assets.llm.bucket_totals import BucketTotals
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.month import cost_of_month, month_of
from wavcaps_assets.llm.prices import FREE, PriceError, Prices
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.reservations import (
    PICO,
    BatchReservation,
    BudgetExhausted,
    BudgetTooSmall,
    Reservation,
    first_of_next_month,
    to_pico,
)
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.spending_totals import SpendingTotals
from wavcaps_assets.llm.tokens import longest_answer, most_tokens
from wavcaps_assets.store.machines import has_conditional_writes

__all__ = ["Budget", "BudgetExhausted", "BudgetTooSmall", "Reservation"]

logger = logging.getLogger(__name__)

RUN, MONTH = "WAVCAPS_LLM__BUDGET_RUN_USD", "WAVCAPS_LLM__BUDGET_MONTH_USD"


class Budget:
    """What may still be spent on one model.

    Args:
        prices: the table of prices.
        model: the model's name.
        ledger: all answers so far, which give the month's spending.
        settings: with the limits; 0: no limit.
        clock: the time, UTC.
        run: all budgets with the same run share its limit; empty: this budget has its own.

    Raises:
        PriceError: there is a limit, and no price for the model, or only a guessed one.
        StoreError: the file of totals cannot be used.
    """

    def __init__(
        self,
        prices: Prices,
        model: str,
        ledger: ResponseLedger,
        settings: ModelSettings,
        clock: Callable[[], datetime] = utc_now,
        run: str = "",
    ) -> None:
        self.price = prices.price_for(settings.model_copy(update={"model": model}))
        self._run_limit = to_pico(settings.budget_run_usd)
        self._month_limit = to_pico(settings.budget_month_usd)
        guessed = settings.free is None and prices.price(model) is None
        if (self._run_limit or self._month_limit) and (self.price is None or guessed):
            raise PriceError(
                f"there is a budget, and no price for the model {model!r}: set WAVCAPS_LLM__PRICES to a file "
                "with its price, or WAVCAPS_LLM__FREE=true if it is free"
            )
        self._clock = clock
        self._run = run or uuid.uuid4().hex
        self._used_pico = 0
        self._in_flight = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._lock = threading.Lock()
        self._prices = prices
        self._settings = settings
        self._ledger = ledger
        self._counted: set[str] = set()
        self._totals: SpendingTotals | BucketTotals | None = None
        if self._run_limit or self._month_limit:
            self._totals = open_totals(ledger, run)
            self._totals.at_least(spending_totals.run(self._run), 0)
            self._count_ledger(self._month())

    def __enter__(self) -> Budget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._totals is not None:
            self._totals.close()

    @property
    def run_usd(self) -> float:
        """Spent and reserved by this budget (USD), without the other steps of the run."""
        return self._used_pico / PICO

    @property
    def month_usd(self) -> float:
        """Spent and reserved by all runs this month (USD); 0 if there is no limit."""
        if self._totals is None or not self._month_limit:
            return 0.0
        return self._totals.get(spending_totals.month(self._month())) / PICO

    def reserve(
        self, messages: Sequence[Message], parameters: Mapping[str, Any], batch: bool = False
    ) -> Reservation:
        """Reserves the maximum cost of a request. Call `settle`, `release` or `write_off` next.

        Raises:
            BudgetExhausted: not that much is left.
            BudgetTooSmall: the whole budget is smaller.
            ValueError: there is a budget, and the request does not limit its answer.
        """
        with self._lock:
            worst = self._worst(messages, parameters, batch)
            month = self._month()
            _, refusal = self._take(month, [worst])
            if refusal is not None:
                raise refusal
            self._used_pico += worst
            self._in_flight += 1
            return Reservation(self._run, month, worst)

    def reserve_batch(self, requests: Iterable[Request]) -> BatchReservation:
        """Reserves the maximum cost of the first of some requests, as many as fit. Call `settle_batch` next.

        Raises:
            BudgetTooSmall, ValueError: as `reserve`.
        """
        with self._lock:
            worst = [self._worst(one.messages, one.parameters, batch=True) for one in requests]
            month = self._month()
            fitting, refusal = self._take(month, worst)
            taken = sum(worst[:fitting])
            self._used_pico += taken
            # A later run may have a month's limit, and must not take away what was never added.
            reservation = Reservation(self._run, month if self._month_limit else "", taken)
            return BatchReservation(reservation, worst[:fitting], refusal)

    def settle_batch(self, reservation: Reservation | None, pico: int) -> None:
        """Replaces the reservation of a batch by what it cost.

        Args:
            reservation: of this run, or of an earlier one, where it does not count in this run; None: an
                earlier run, which had no budget, reserved nothing.
            pico: the cost (10^-12 USD).
        """
        self._replace(reservation or Reservation("", self._month(), 0), pico)

    async def admit(
        self, messages: Sequence[Message], parameters: Mapping[str, Any], batch: bool = False
    ) -> Reservation:
        """As `reserve`, but waits for requests in flight that hold the rest of the budget.

        Requests cost far less than their reservations, so that waiting uses a budget to its end. Call it
        from one event loop.
        """
        while True:
            try:
                return self.reserve(messages, parameters, batch)
            except BudgetExhausted:
                if not self._in_flight:
                    raise
            released = asyncio.get_running_loop().create_future()
            self._waiting.append(released)
            await released

    def settle(self, answer: Answer, reservation: Reservation | None = None) -> Answer:
        """Replaces a reservation by the real cost. Returns the answer with its cost.

        An answer without token counts costs its reservation. A reservation of another run, as of a
        batch, does not count in this run.

        Args:
            reservation: None: there is none, or it is not known any more.
        """
        cost = None if self.price is None else self.price.cost_of(answer)
        pico = None if cost is None else to_pico(cost)
        if pico is None and self.price is not None and reservation is not None:
            pico = reservation.pico
        self._end_flight(reservation, pico or 0)
        return replace(answer, cost_usd=None if pico is None else pico / PICO)

    def priced(self, answer: Answer, model: str, most_pico: int | None) -> Answer:
        """An answer of a batch, with its cost.

        Args:
            model: that was asked, which may be another one than this budget's.
            most_pico: its cost if the endpoint does not report its tokens (10^-12 USD); None: not known.
        """
        price = self._prices.price_for(self._settings.model_copy(update={"model": model}))
        cost = None if price is None else price.cost_of(answer)
        if cost is None and price is not None and most_pico is not None:
            cost = most_pico / PICO
        return replace(answer, cost_usd=cost)

    def release(self, reservation: Reservation) -> None:
        """Gives a reservation back: the request was refused, and is not paid for."""
        self._end_flight(reservation, 0)

    def write_off(self, reservation: Reservation) -> float | None:
        """Counts a reservation as spent: there is no answer, and the request may have been charged.

        Returns:
            The amount (USD); None: not known.
        """
        self._end_flight(reservation, reservation.pico)
        return None if self.price is None else reservation.pico / PICO

    def _worst(self, messages: Sequence[Message], parameters: Mapping[str, Any], batch: bool) -> int:
        if self.price is None or self.price == FREE:
            return 0
        longest = longest_answer(parameters)
        if longest is None:
            if self._run_limit or self._month_limit:
                raise ValueError("a request under a budget must limit its answer: set `max_tokens`")
            return 0
        if longest < 0:
            # To some servers, -1 is "no limit".
            raise ValueError(f"a request with a price must limit its answer, and `max_tokens` is {longest}")
        output = longest * parameters.get("n", 1)
        worst = to_pico(self.price.cost(most_tokens(messages, parameters), output, batch))
        for limit, setting in ((self._run_limit, RUN), (self._month_limit, MONTH)):
            if limit and worst > limit:
                raise BudgetTooSmall(
                    f"one request can cost {worst / PICO:.4g} USD, and {setting} is {limit / PICO:g}: "
                    "raise it, or put fewer texts in a request"
                )
        return worst

    def _end_flight(self, reservation: Reservation | None, pico: int) -> None:
        self._replace(reservation, pico)
        with self._lock:
            if reservation is not None and reservation.run == self._run:
                # A reservation that an earlier step of this run made is not in flight here.
                self._in_flight = max(self._in_flight - 1, 0)
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _replace(self, reservation: Reservation | None, pico: int) -> None:
        with self._lock:
            if reservation is None:
                self._add_run(pico)
            elif reservation.run == self._run:
                self._add_run(pico - reservation.pico)
            if reservation is not None and self._is_counted(reservation):
                self._add_month(reservation.month, -reservation.pico)
            month = self._month()
            self._count_ledger(month)
            self._add_month(month, pico)

    def _is_counted(self, reservation: Reservation) -> bool:
        """Whether the totals have a reservation, which an earlier run may have made."""
        lasting = self._totals is not None and self._totals.lasting
        return bool(reservation.month) and (lasting or reservation.run == self._run)

    def _month(self) -> str:
        return month_of(self._clock())

    def _add_run(self, pico: int) -> None:
        self._used_pico += pico
        if self._totals is not None and self._run_limit:
            self._totals.add(spending_totals.run(self._run), pico)

    def _add_month(self, month: str, pico: int) -> None:
        if self._totals is not None and self._month_limit:
            self._totals.add(spending_totals.month(month), pico)

    def _take(self, month: str, amounts: Sequence[int]) -> tuple[int, BudgetExhausted | None]:
        """Counts the first amounts, as many as both limits allow. Returns how many, and why no more."""
        if self._totals is None:
            return len(amounts), None
        fitting, refusal = len(amounts), None
        if self._month_limit:
            self._count_ledger(month)
            counted = spending_totals.month(month)
            fitting = self._totals.add_first(counted, amounts, self._month_limit)
            if fitting < len(amounts):
                refusal = BudgetExhausted(
                    f"{self._totals.get(counted) / PICO:.4g} USD are spent or reserved in {month}, and the "
                    f"next request could exceed {MONTH}={self._month_limit / PICO:g}: wait for the next "
                    "month, or raise it",
                    MONTH,
                    first_of_next_month(self._clock()),
                )
        if not self._run_limit:
            return fitting, refusal
        counted = spending_totals.run(self._run)
        of_run = self._totals.add_first(counted, amounts[:fitting], self._run_limit)
        if of_run < fitting:
            self._add_month(month, -sum(amounts[of_run:fitting]))
            refusal = BudgetExhausted(
                f"this run has spent or reserved {self._totals.get(counted) / PICO:.4g} USD, and the next "
                f"request could exceed {RUN}={self._run_limit / PICO:g}: start another run, or raise it",
                RUN,
                self._clock(),
            )
        return of_run, refusal

    def _count_ledger(self, month: str) -> None:
        """Counts the month's answers in the ledger: other runs may have spent without a limit."""
        if self._totals is None or not self._month_limit or month in self._counted:
            return
        self._counted.add(month)
        known, unknown = cost_of_month(self._ledger.records(), self._prices, month)
        if unknown:
            logger.warning(
                "the cost of %d answers of %s is not known; they do not count in %s", unknown, month, MONTH
            )
        self._totals.at_least(spending_totals.month(month), known)


def open_totals(ledger: spending_totals.Place, run: str) -> SpendingTotals | BucketTotals:
    if not ledger.store.is_folder and has_conditional_writes(ledger.store, ledger.folder):
        return BucketTotals(ledger)
    return SpendingTotals(ledger, run)
