"""Rate limits: what an endpoint's headers report, and one limit that is kept."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from wavcaps_assets.clock import utc_now

# After this time a request has reached the endpoint, whenever its answer comes (s).
ARRIVAL_S = 1.0
# The size of one burst: the limit's share of this many seconds, because endpoints divide a minute's
# limit into seconds.
BURST_S = 0.5
KINDS = ("requests", "tokens")
DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass
class Permit:
    """A request in flight.

    Attributes:
        sent_at: when it was sent (s).
        costs: what it uses of each kind of limit, while the limit counts it.
        counted_at: when the endpoint has counted it at the latest (s).
    """

    sent_at: float
    costs: dict[str, float]
    counted_at: float


def duration_s(text: str) -> float | None:
    """A duration such as "6m0s", "120ms" or "1.5" in seconds; None: it is not a duration."""
    text = text.strip().lower()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * UNITS_S[unit] for number, unit in parts)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the endpoint asks clients to wait (s); None: it does not say."""
    exact = headers.get("retry-after-ms", "")
    if re.fullmatch(r"\d{1,12}", exact):
        return int(exact) / 1000
    text = headers.get("retry-after", "")
    wait = duration_s(text)
    if wait is None and text:
        try:
            wait = max((parsedate_to_datetime(text) - utc_now()).total_seconds(), 0.0)
        except (ValueError, TypeError, OverflowError):
            return None
    return wait


def reported(headers: Mapping[str, str], kind: str) -> tuple[float | None, float | None, float | None]:
    """One kind of limit in the headers: the amount per minute, what is left, and until it is reset (s)."""

    def number(name: str) -> float | None:
        text = headers.get(f"x-ratelimit-{name}-{kind}", "").strip()
        return float(text) if re.fullmatch(r"\d{1,12}", text) else None

    return (
        number("limit") or None,
        number("remaining"),
        duration_s(headers.get(f"x-ratelimit-reset-{kind}", "")),
    )


class Limit:
    """A maximum in any minute, used evenly.

    Args:
        kind: `requests` or `tokens`.
        by_hand: the amount per minute; None: what the endpoint reports.
        minute_s: the length of a minute (s).
    """

    def __init__(self, kind: str, by_hand: float | None, minute_s: float) -> None:
        self._kind = kind
        self._by_hand = by_hand or math.inf
        self._amount = self._by_hand
        self._minute_s = minute_s
        self._sent: deque[Permit] = deque()
        self._used = 0.0
        # What may be sent at once: grows with time, and may fall below zero.
        self._level = math.inf
        self._level_at = 0.0
        self._left: tuple[float, float] | None = None
        self._since = 0.0
        self._closed_until = 0.0

    def wait_s(self, now: float, cost: float) -> float:
        """How long to wait before this cost may be sent (s)."""
        self._forget(now)
        wait = self._closed_until - now
        if math.isinf(self._amount):
            return max(wait, 0.0)
        rate = self._amount / self._minute_s
        burst = max(rate * BURST_S, 1.0)
        self._level = min(self._level + (now - self._level_at) * rate, burst)
        self._level_at = now
        wait = max(wait, (min(cost, burst) - self._level) / rate)
        if self._sent and self._used + cost > self._amount:
            wait = max(wait, self._sent[0].counted_at + self._minute_s - now)
        if self._left is not None:
            left, at = self._left
            wait = max(wait, (min(cost, self._amount) + self._since - left) / rate - (now - at))
        return max(wait, 0.0)

    def closed_s(self, now: float) -> float:
        """How long the endpoint accepts nothing, by its own headers (s)."""
        return max(self._closed_until - now, 0.0)

    def add(self, permit: Permit) -> None:
        cost = permit.costs[self._kind]
        self._sent.append(permit)
        self._used += cost
        self._level -= cost
        self._since += cost

    def correct(self, permit: Permit, cost: float) -> None:
        """A request used more or less than was expected."""
        if self._kind not in permit.costs:
            return
        change = cost - permit.costs[self._kind]
        permit.costs[self._kind] = cost
        self._used += change
        self._level -= change
        if self._left is not None and permit.sent_at > self._left[1]:
            self._since += change

    def learn(self, headers: Mapping[str, str], permit: Permit, now: float) -> None:
        """Reads the headers of an answer or of a refusal."""
        amount, left, reset = reported(headers, self._kind)
        if amount is not None:
            self._amount = min(self._by_hand, amount)
        if left is None or (self._left is not None and permit.sent_at < self._left[1]):
            return
        self._left = left, permit.sent_at
        self._since = 0.0
        for other in reversed(self._sent):
            if other.sent_at <= permit.sent_at:
                break
            self._since += other.costs[self._kind]
        if left == 0 and reset is not None:
            self._closed_until = max(self._closed_until, now + reset)

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0].counted_at + self._minute_s <= now:
            self._used -= self._sent.popleft().costs.pop(self._kind)
