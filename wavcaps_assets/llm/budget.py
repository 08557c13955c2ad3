"""A hard limit on what a run and a calendar month may cost.

Before a request is made, the most that it can cost is set aside; its answer replaces that by what it
did cost. What is set aside is never exceeded: a prompt has no more tokens than bytes, and an answer no
more than `max_tokens`. A run's and a month's spending are counted in a file beside the ledger, which all
processes that share the folder share. A bucket cannot hold such a file: there, each run counts from what the
ledger said when it began, and concurrent runs can together exceed the month's limit by what the others
spend meanwhile, at most their own limits a run.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm import spending_totals
from wavcaps_assets.llm.ledger import Answer, ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import FREE, PriceError, Prices, record_cost
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.spending_totals import SpendingTotals
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.network.errors import Paused

logger = logging.getLogger(__name__)

# Sums of many small amounts must come out exactly: they are counted in 10^-12 USD.
PICO = 1_000_000_000_000
RUN, MONTH = "WAVCAPS_LLM__BUDGET_RUN_USD", "WAVCAPS_LLM__BUDGET_MONTH_USD"


class BudgetExhausted(Paused):
    """The next request could exceed the budget. What was answered is kept.

    Attributes:
        setting: the budget's setting.
        until: for a run's budget now, as the next run has its own; for a month's the first of the next.
    """

    def __init__(self, message: str, setting: str, until: datetime) -> None:
        super().__init__(message, until)
        self.setting = setting


class BudgetTooSmall(ValueError):
    """A single request can cost more than the whole budget, so that waiting would not help."""


@dataclass(frozen=True)
class Reservation:
    """What was set aside for one request.

    Attributes:
        run: the run that set it aside.
        month: the month that it is counted in, YYYY-MM.
        pico: how much (10^-12 USD).
    """

    run: str
    month: str
    pico: int


class Budget:
    """What may still be spent on one model.

    Args:
        prices: the table of prices.
        model: the model that is asked.
        ledger: of all answers so far, which tells the month's spending.
        settings: with the limits; 0 is none.
        clock: the time, UTC.
        run: the run that is counted; all budgets of a run share its limit. Empty: a run of its own.

    Raises:
        PriceError: there is a limit, and no price for the model, or none that somebody has set.
        StoreError: the month's counter cannot be read or written.
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
        self._run_limit = _pico(settings.budget_run_usd)
        self._month_limit = _pico(settings.budget_month_usd)
        guessed = settings.free is None and prices.price(model) is None
        if (self._run_limit or self._month_limit) and (self.price is None or guessed):
            raise PriceError(
                f"there is a budget, and no price for the model {model!r}: name a file with one by "
                "WAVCAPS_LLM__PRICES, or set WAVCAPS_LLM__FREE=true if it costs nothing"
            )
        self._clock = clock
        self._run = run or uuid.uuid4().hex
        self._spent_pico = 0
        self._in_flight = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._lock = threading.Lock()
        self._prices = prices
        self._ledger = ledger
        self._counted: set[str] = set()
        self._spent: SpendingTotals | None = None
        if self._run_limit or self._month_limit:
            self._spent = SpendingTotals(ledger, run)
            self._spent.at_least(spending_totals.run(self._run), 0)
            self._count(self._month())

    def __enter__(self) -> Budget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spent is not None:
            self._spent.close()

    @property
    def run_usd(self) -> float:
        """What has been spent here, with what is set aside (USD); other steps of the run are not in it."""
        return self._spent_pico / PICO

    @property
    def month_usd(self) -> float:
        """What all runs have spent this month, with what is set aside (USD); 0 where there is no limit."""
        if self._spent is None or not self._month_limit:
            return 0.0
        return self._spent.of(spending_totals.month(self._month())) / PICO

    def reserve(
        self, messages: Sequence[Message], parameters: Mapping[str, Any], batch: bool = False
    ) -> Reservation:
        """Sets aside the most that a request can cost; to be followed by `settle`, `release` or `lost`.

        Raises:
            BudgetExhausted: there is not that much left, now that other requests are under way.
            BudgetTooSmall: the whole budget is less than that.
            ValueError: there is a budget, and the request does not limit its answer.
        """
        with self._lock:
            worst = self._worst(messages, parameters, batch)
            month = self._month()
            for limit, setting in ((self._run_limit, RUN), (self._month_limit, MONTH)):
                if limit and worst > limit:
                    raise BudgetTooSmall(
                        f"one request can cost {worst / PICO:.4g} USD, and {setting} is {limit / PICO:g}: "
                        "raise it, or ask about fewer texts a request"
                    )
            self._take_month(month, worst)
            try:
                self._take_run(worst)
            except BudgetExhausted:
                self._add_month(month, -worst)
                raise
            self._spent_pico += worst
            self._in_flight += 1
            return Reservation(self._run, month, worst)

    async def admit(
        self, messages: Sequence[Message], parameters: Mapping[str, Any], batch: bool = False
    ) -> Reservation:
        """As `reserve`, but waits for this run's own requests under way where they hold the rest.

        Requests cost far less than was set aside for them, so that a budget can be used to its end.
        All of one event loop.
        """
        while True:
            try:
                return self.reserve(messages, parameters, batch)
            except BudgetExhausted:
                if not self._in_flight:
                    raise
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def settle(self, answer: Answer, reservation: Reservation | None = None) -> Answer:
        """Replaces what was set aside by what the answer cost. Returns the answer with its cost.

        An answer that does not tell its tokens costs what was set aside for it. One that was asked for
        by another run, as a batch may be, is not counted in this run.

        Args:
            reservation: None: nothing was set aside, or nobody knows any more how much.
        """
        cost = None if self.price is None else self.price.cost_of(answer)
        pico = None if cost is None else _pico(cost)
        if pico is None and self.price is not None and reservation is not None:
            pico = reservation.pico
        self._replace(reservation, pico or 0)
        return replace(answer, cost_usd=None if pico is None else pico / PICO)

    def release(self, reservation: Reservation) -> None:
        """Gives back what was set aside: the request was refused, and is not paid for."""
        self._replace(reservation, 0)

    def lost(self, reservation: Reservation) -> float | None:
        """Keeps counting what was set aside: no answer came, and it may have been paid for.

        Returns:
            How much that is (USD); None: not known.
        """
        self._replace(reservation, reservation.pico)
        return None if self.price is None else reservation.pico / PICO

    def _worst(self, messages: Sequence[Message], parameters: Mapping[str, Any], batch: bool) -> int:
        if self.price is None or self.price == FREE:
            return 0
        longest = parameters.get("max_completion_tokens", parameters.get("max_tokens"))
        if longest is None:
            if self._run_limit or self._month_limit:
                raise ValueError("a request under a budget must limit its answer: set `max_tokens`")
            return 0
        output = longest * parameters.get("n", 1)
        return _pico(self.price.cost(most_tokens(messages, parameters), output, batch))

    def _replace(self, reservation: Reservation | None, pico: int) -> None:
        with self._lock:
            if reservation is None:
                self._add_run(pico)
            elif reservation.run == self._run:
                self._add_run(pico - reservation.pico)
                # One that an earlier step of this run made is not under way here.
                self._in_flight = max(self._in_flight - 1, 0)
            if reservation is not None:
                self._add_month(reservation.month, -reservation.pico)
            month = self._month()
            self._count(month)
            self._add_month(month, pico)
            waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def _month(self) -> str:
        return f"{self._clock():%Y-%m}"

    def _add_run(self, pico: int) -> None:
        self._spent_pico += pico
        if self._spent is not None:
            self._spent.add(spending_totals.run(self._run), pico)

    def _add_month(self, month: str, pico: int) -> None:
        if self._spent is not None and self._month_limit:
            self._spent.add(spending_totals.month(month), pico)

    def _take_run(self, pico: int) -> None:
        if self._spent is None:
            return
        counted = spending_totals.run(self._run)
        if not self._run_limit:
            self._spent.add(counted, pico)
        elif not self._spent.take(counted, pico, self._run_limit):
            raise BudgetExhausted(
                f"this run has spent or set aside {self._spent.of(counted) / PICO:.4g} USD, and the next "
                f"request could exceed {RUN}={self._run_limit / PICO:g}: start another run, or raise it",
                RUN,
                self._clock(),
            )

    def _take_month(self, month: str, pico: int) -> None:
        if self._spent is None or not self._month_limit:
            return
        self._count(month)
        counted = spending_totals.month(month)
        if not self._spent.take(counted, pico, self._month_limit):
            raise BudgetExhausted(
                f"{self._spent.of(counted) / PICO:.4g} USD are spent or set aside in {month}, and the next "
                f"request could exceed {MONTH}={self._month_limit / PICO:g}: wait for the next month, or "
                "raise it",
                MONTH,
                first_of_next_month(self._clock()),
            )

    def _count(self, month: str) -> None:
        """Counts what the ledger holds of a month, which other runs may have spent without a limit."""
        if self._spent is None or not self._month_limit or month in self._counted:
            return
        self._counted.add(month)
        known = unknown = 0
        for record in self._ledger.records():
            if str(record.get("at")).startswith(month):
                cost = record_cost(record, self._prices)
                unknown += cost is None
                known += _pico(cost or 0.0)
        if unknown:
            logger.warning(
                "of %d answers of %s no cost is known; they do not count in %s", unknown, month, MONTH
            )
        self._spent.at_least(spending_totals.month(month), known)


def first_of_next_month(now: datetime) -> datetime:
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)


def _pico(usd: float) -> int:
    return round(usd * PICO)
