"""Decides when the next request may be sent. All workers of a session share one rate limiter."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress

from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.rate_limit_headers import ARRIVAL_S, KINDS, Limit, Permit, retry_after_s
from wavcaps_assets.llm.settings import RequestLimits

MINUTE_S = 60.0
# Requests in flight after the first answer; the number grows with the answers.
FIRST_CONCURRENCY = 10
BACK_OFF_S = 0.5
LONGEST_BACK_OFF_S = 60.0


class Stopped(Exception):
    """Nothing more may be sent."""


def back_off_s(times: int) -> float:
    """How long to wait after this many failures (s): doubles each time, with jitter."""
    return min(BACK_OFF_S * 2 ** min(times - 1, 20), LONGEST_BACK_OFF_S) * random.uniform(0.5, 1.0)


class RateLimiter:
    """Limits requests and tokens per minute, as set and as learned, and the requests in flight.

    The first request is sent alone: a wrong key costs one request, and the answer's headers report the
    limits. Then the number in flight grows with the answers, and is halved when the endpoint is busy.
    """

    def __init__(self, limits: RequestLimits) -> None:
        by_hand = dict(zip(KINDS, (limits.requests_per_minute, limits.tokens_per_minute), strict=True))
        self._limits = {kind: Limit(kind, by_hand[kind], MINUTE_S) for kind in KINDS}
        self.concurrency = limits.concurrency
        self._patience_s = limits.patience_s
        self._allowed = 1.0
        # Whether only the number in flight holds the next request back. If many answers come at once,
        # each of them makes room for one more.
        self._full = False
        self._answers = 0
        self._cut_at: float | None = None
        self._refusals = 0
        self._closed_until = 0.0
        self.start()

    def start(self) -> None:
        """Begins to send in the current event loop; what was learned before is kept."""
        self._in_flight = 0
        self._stopped = False
        self._answered_at = time.monotonic()
        self._gate = asyncio.Lock()
        self._changed = asyncio.Event()

    async def acquire(self, tokens: float) -> Permit:
        """Waits until a request may be sent, first come, first served.

        Raises:
            Stopped: no more may be sent.
        """
        async with self._gate:
            while True:
                if self._stopped:
                    raise Stopped
                now = time.monotonic()
                costs = {"requests": 1.0, "tokens": tokens}
                self._full = self._in_flight >= int(self._allowed)
                if self._full:
                    await self._change(None)
                    continue
                wait = max(
                    self._closed_until - now,
                    *(limit.wait_s(now, costs[kind]) for kind, limit in self._limits.items()),
                )
                if wait <= 0:
                    break
                await self._change(wait)
            permit = Permit(now, costs, now + ARRIVAL_S)
            self._in_flight += 1
            for limit in self._limits.values():
                limit.add(permit)
            return permit

    def answered(self, permit: Permit, headers: Mapping[str, str], tokens: int | None) -> None:
        """The endpoint answered. `tokens` is what it counted; None: not known."""
        now = self._returned(permit, headers)
        if tokens is not None:
            self._limits["tokens"].correct(permit, tokens)
        self._answered_at, self._refusals = now, 0
        self._answers += 1
        if self._answers == 1:
            self._allowed = min(self.concurrency, FIRST_CONCURRENCY)
        elif self._full:
            step = 1.0 if self._cut_at is None else 1.0 / self._allowed
            self._allowed = min(self._allowed + step, self.concurrency)

    def failed(self, permit: Permit) -> None:
        """There is no answer, and nothing to learn from that."""
        self._returned(permit, {})

    def refused(self, permit: Permit, headers: Mapping[str, str], reason: str) -> None:
        """The endpoint is busy: nothing is sent for a while.

        Raises:
            EndpointError: the wait would be longer than `patience_s`.
        """
        in_flight = self._in_flight
        now = self._returned(permit, headers)
        # A request that was sent before the last cut says nothing about the load since.
        if self._cut_at is None or permit.sent_at > self._cut_at:
            self._cut_at = now
            self._allowed = max(min(self._allowed, in_flight) / 2, 1.0)
            self._refusals += 1
        asked = retry_after_s(headers)
        wait = back_off_s(self._refusals) if asked is None else asked * random.uniform(1.0, 1.1)
        self._closed_until = max(self._closed_until, now + wait)
        closed_s = max(wait, *(limit.closed_s(now) for limit in self._limits.values()))
        if closed_s > self._patience_s or now - self._answered_at > self._patience_s:
            raise EndpointError(
                f"{reason}; the endpoint accepts nothing for {max(closed_s, now - self._answered_at):.0f} s. "
                "Its answers are kept: run again later, or with a lower `requests_per_minute`"
            )

    def stop(self) -> None:
        """Sends nothing more: `acquire` and `pause` raise `Stopped`."""
        self._stopped = True
        self._changed.set()

    async def pause(self, seconds: float) -> None:
        """Waits before a retry.

        Raises:
            Stopped: no more may be sent.
        """
        await asyncio.sleep(seconds)
        if self._stopped:
            raise Stopped

    def _returned(self, permit: Permit, headers: Mapping[str, str]) -> float:
        now = time.monotonic()
        self._in_flight -= 1
        permit.counted_at = min(permit.counted_at, now)
        for limit in self._limits.values():
            limit.learn(headers, permit, now)
        self._changed.set()
        return now

    async def _change(self, seconds: float | None) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
