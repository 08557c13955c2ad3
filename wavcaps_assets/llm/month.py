"""What a calendar month has cost, and what is left of its budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wavcaps_assets.llm import spending_totals
from wavcaps_assets.llm.bucket_totals import BucketTotals
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.prices import Prices, load_prices, record_cost
from wavcaps_assets.llm.reservations import PICO, to_pico
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.spending_totals import SpendingTotals
from wavcaps_assets.store.machines import has_conditional_writes
from wavcaps_assets.store.storage import Store


@dataclass(frozen=True)
class Answers:
    """Where the answers are, and with them the totals; the answers themselves are not read."""

    store: Store
    folder: str = ANSWERS


def month_of(now: datetime) -> str:
    """The month of a time (UTC), YYYY-MM."""
    return f"{now:%Y-%m}"


def cost_of_month(records: Iterable[Mapping[str, Any]], prices: Prices, month: str) -> tuple[int, int]:
    """The cost of a month's answers in the ledger (10^-12 USD), and how many have no known cost."""
    known = unknown = 0
    for record in records:
        if str(record.get("at")).startswith(month):
            cost = record_cost(record, prices)
            unknown += cost is None
            known += to_pico(cost or 0.0)
    return known, unknown


def left_of_month(store: Store, settings: ModelSettings, now: datetime) -> float | None:
    """What may still be spent in this month (USD); None: there is no limit.

    What is reserved for requests in flight counts as spent, as it does for the runs.

    Raises:
        StoreError: the answers or the totals cannot be read.
    """
    if not settings.budget_month_usd:
        return None
    month = month_of(now)
    spent = _counted(Answers(store), month)
    if not spent:
        # No run has counted this month yet.
        with ResponseLedger(store, ANSWERS) as ledger:
            spent, _ = cost_of_month(ledger.records(), load_prices(settings.prices), month)
    return max(settings.budget_month_usd - spent / PICO, 0.0)


def _counted(ledger: Answers, month: str) -> int:
    """What the runs have counted in this month (10^-12 USD). Writes nothing."""
    totals: SpendingTotals | BucketTotals
    if ledger.store.is_folder:
        if not ledger.store.path(f"{ledger.folder}/{spending_totals.FILE}").exists():
            return 0
        totals = SpendingTotals(ledger, "")
    elif has_conditional_writes(ledger.store, ledger.folder):
        totals = BucketTotals(ledger)
    else:
        return 0
    try:
        return totals.get(spending_totals.month(month))
    finally:
        totals.close()
