"""What runs and months have spent, in a bucket that several machines share.

A process takes an allowance from the shared total, which then counts as spent, and reserves from it without
asking the bucket. It gives back what it does not need. A killed process leaves its allowance as spent.
"""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from wavcaps_assets.llm.spending_totals import IN_BUCKET, Place, Total
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.shared_state import Document, SharedState

logger = logging.getLogger(__name__)

# A process takes this many times the amount that it needs, and gives back what is beyond the second.
TAKEN, KEPT = 8, 32
PICO = "pico"


class BucketTotals:
    """Totals by month and by run (10^-12 USD).

    Every method raises `StoreError` if the bucket cannot be used.
    """

    # Whether they outlive the process.
    lasting = True

    def __init__(self, ledger: Place) -> None:
        self._ledger = ledger
        self._states: dict[Total, SharedState] = {}
        # What this process has taken and not reserved or spent, and the largest amount that it needed.
        self._free: dict[Total, int] = {}
        self._largest: dict[Total, int] = {}

    def close(self) -> None:
        for name in self._states:
            try:
                self._give_back(name, 0)
            except StoreError as error:
                logger.warning("the rest of an allowance stays counted as spent: %s", error)

    def get(self, name: Total) -> int:
        return int(self._state(name).read().get(PICO, 0)) - self._free.get(name, 0)

    def at_least(self, name: Total, pico: int) -> None:
        """Creates a total, or raises it to an amount that is known to have been spent."""

        def raised(document: Document) -> None:
            if pico > document.get(PICO, 0):
                document[PICO] = pico

        self._state(name).change(raised)

    def add(self, name: Total, pico: int) -> None:
        free = self._free.get(name, 0) - pico
        self._free[name] = free
        if free < 0:
            # More was spent than had been reserved.
            self._give_back(name, 0)
        elif free > KEPT * self._largest.get(name, 0):
            self._give_back(name, TAKEN * self._largest.get(name, 0))

    def add_first(self, name: Total, amounts: Sequence[int], limit: int) -> int:
        """Adds the first of some amounts, as many as the total has room for. Returns how many."""
        sums = list(accumulate(amounts))
        free = self._free.get(name, 0)
        if not sums or sums[-1] <= free:
            self._free[name] = free - (sums[-1] if sums else 0)
            return len(amounts)
        # A batch is reserved at once; single requests follow each other.
        more = TAKEN * amounts[0] if len(amounts) == 1 else 0

        def taken(document: Document) -> tuple[int, int]:
            room = limit - document.get(PICO, 0)
            fitting = bisect_right(sums, free + max(room, 0))
            needed = sums[fitting - 1] if fitting else 0
            taken = max(min(needed - free + more, room), 0) if needed > free else 0
            document[PICO] = document.get(PICO, 0) + taken
            return fitting, free + taken - needed

        fitting, self._free[name] = self._state(name).change(taken)
        self._largest[name] = max(self._largest.get(name, 0), *amounts[:1])
        return fitting

    def _give_back(self, name: Total, kept: int) -> None:
        """Changes the total so that this process holds no more than `kept` of it."""
        more = self._free.get(name, 0) - kept
        if not more:
            return

        def given(document: Document) -> None:
            document[PICO] = document.get(PICO, 0) - more

        self._state(name).change(given)
        self._free[name] = kept

    def _state(self, name: Total) -> SharedState:
        if name not in self._states:
            # A run may have any name.
            safe = name.name if name.kind == "month" else hashlib.sha256(name.name.encode()).hexdigest()[:32]
            state = SharedState(self._ledger.store, self._ledger.folder, f"{IN_BUCKET}{name.kind}-{safe}")
            self._states[name] = state
        return self._states[name]
