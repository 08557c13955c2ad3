"""When the next request may go out: what all who ask one endpoint keep to together."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress

from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.rate_limit_headers import ARRIVAL_S, KINDS, Limit, Permit, retry_after_s

MINUTE_S = 60.0
# Requests under way at the same time once the first is answered; more as answers come.
FIRST_CONCURRENCY = 10
BACK_OFF_S = 0.5
LONGEST_BACK_OFF_S = 60.0


class Stopped(Exception):
    """Nothing more is to be asked."""


def back_off_s(times: int) -> float:
    """How long to wait after so many failures (s): twice as long each time, and never quite the same."""
    return min(BACK_OFF_S * 2 ** min(times - 1, 20), LONGEST_BACK_OFF_S) * random.uniform(0.5, 1.0)


class RateLimiter:
    """Limits on requests and tokens a minute, set by hand and learnt, and on requests at the same time.

    The first request goes alone: a wrong key costs one, and its answer tells the limits. Then the number
    under way grows with the answers, and is halved where the endpoint has too much to do.

    Args:
        concurrency: requests under way at the same time at most.
        requests_per_minute: at most so many, whatever the endpoint allows.
        tokens_per_minute: as above, of questions and answers.
        patience_s: how long the endpoint may refuse without answering anything (s).
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        patience_s: float,
    ) -> None:
        by_hand = dict(zip(KINDS, (requests_per_minute, tokens_per_minute), strict=True))
        self._limits = {kind: Limit(kind, by_hand[kind], MINUTE_S) for kind in KINDS}
        self._concurrency = concurrency
        self._patience_s = patience_s
        self._allowed = 1.0
        self._under_way = 0
        # Somebody waits for nothing else. Of answers that come at once, each makes room for one more.
        self._full = False
        self._answers = 0
        self._cut_at: float | None = None
        self._refusals = 0
        self._closed_until = 0.0
        self._well_at = time.monotonic()
        self._stopped = False
        self._gate = asyncio.Lock()
        self._changed = asyncio.Event()

    async def turn(self, tokens: float) -> Permit:
        """Waits until a request may go out, first come, first served.

        Raises:
            Stopped: it may not any more.
        """
        async with self._gate:
            while True:
                if self._stopped:
                    raise Stopped
                now = time.monotonic()
                costs = {"requests": 1.0, "tokens": tokens}
                self._full = self._under_way >= int(self._allowed)
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
            turn = Permit(now, costs, now + ARRIVAL_S)
            self._under_way += 1
            for limit in self._limits.values():
                limit.add(turn)
            return turn

    def answered(self, turn: Permit, headers: Mapping[str, str], tokens: int | None) -> None:
        """The endpoint answered; it counted so many tokens, if that is known."""
        now = self._back(turn, headers)
        if tokens is not None:
            self._limits["tokens"].correct(turn, tokens)
        self._well_at, self._refusals = now, 0
        self._answers += 1
        if self._answers == 1:
            self._allowed = min(self._concurrency, FIRST_CONCURRENCY)
        elif self._full:
            step = 1.0 if self._cut_at is None else 1.0 / self._allowed
            self._allowed = min(self._allowed + step, self._concurrency)

    def failed(self, turn: Permit) -> None:
        """There is no answer, and nothing to be learnt from that."""
        self._back(turn, {})

    def refused(self, turn: Permit, headers: Mapping[str, str], reason: str) -> None:
        """The endpoint has too much to do: nothing goes out for a while.

        Raises:
            EndpointError: it would take too long.
        """
        under_way = self._under_way
        now = self._back(turn, headers)
        # What was sent before the last cut says nothing about what is under way since.
        if self._cut_at is None or turn.sent_at > self._cut_at:
            self._cut_at = now
            self._allowed = max(min(self._allowed, under_way) / 2, 1.0)
            self._refusals += 1
        asked = retry_after_s(headers)
        wait = back_off_s(self._refusals) if asked is None else asked * random.uniform(1.0, 1.1)
        self._closed_until = max(self._closed_until, now + wait)
        closed_s = max(wait, *(limit.closed_s(now) for limit in self._limits.values()))
        if closed_s > self._patience_s or now - self._well_at > self._patience_s:
            raise EndpointError(
                f"{reason}; it takes nothing for {max(closed_s, now - self._well_at):.0f} s. "
                "What it answered is kept: run again later, or with a lower `requests_per_minute`"
            )

    def stop(self) -> None:
        """Whoever waits for a turn waits no more."""
        self._stopped = True
        self._changed.set()

    async def pause(self, seconds: float) -> None:
        """Waits before a repeat.

        Raises:
            Stopped: there will be none.
        """
        await asyncio.sleep(seconds)
        if self._stopped:
            raise Stopped

    def _back(self, turn: Permit, headers: Mapping[str, str]) -> float:
        now = time.monotonic()
        self._under_way -= 1
        turn.seen_at = min(turn.seen_at, now)
        for limit in self._limits.values():
            limit.learn(headers, turn, now)
        self._changed.set()
        return now

    async def _change(self, seconds: float | None) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
