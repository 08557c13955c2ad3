"""What a budget holds back for requests, and how it refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from wavcaps_assets.network.errors import Paused

# Amounts are integers (10^-12 USD), so that sums of many small ones are exact.
PICO = 1_000_000_000_000


class BudgetExhausted(Paused):
    """The next request could exceed the budget. What was answered is kept.

    Attributes:
        setting: the environment variable of the budget.
        until: now for a run's budget, as the next run has its own; for a month's, the next month.
    """

    def __init__(self, message: str, setting: str, until: datetime) -> None:
        super().__init__(message, until)
        self.setting = setting


class BudgetTooSmall(ValueError):
    """One request can cost more than the whole budget, so that waiting does not help."""


@dataclass(frozen=True)
class Reservation:
    """The maximum cost of one request or one batch, held back from the budget.

    Attributes:
        run: the run that made it.
        month: the month it counts in, YYYY-MM; empty: there was no month's limit.
        pico: the amount (10^-12 USD).
    """

    run: str
    month: str
    pico: int


@dataclass(frozen=True)
class BatchReservation:
    """The maximum cost of the first of some requests.

    Attributes:
        reservation: of them together.
        pico: of each (10^-12 USD).
        refusal: why the next request does not fit; None: all fit.
    """

    reservation: Reservation
    pico: Sequence[int]
    refusal: BudgetExhausted | None = None


def first_of_next_month(now: datetime) -> datetime:
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)


def to_pico(usd: float) -> int:
    return round(usd * PICO)
