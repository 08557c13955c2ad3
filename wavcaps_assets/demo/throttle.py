"""A limit of requests a minute, like FreeSound's, and counts of the requests."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MINUTE_S = 60.0
# For observers, not for a crawl: neither counted nor refused.
TALLY = "/requests"
HEALTH = "/healthz"


class Throttle:
    """Passes on a limited number of requests in any minute, and refuses the others with a 429.

    Args:
        app: gets the requests that pass.
        per_minute: the limit; 0: none.
        clock: the time (s).
    """

    def __init__(
        self, app: ASGIApp, per_minute: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._per_minute = per_minute
        self._clock = clock
        self._passed: deque[float] = deque()
        self._asked: deque[float] = deque()
        self._most_in_a_minute = 0
        self._paths: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == HEALTH:
            await self._app(scope, receive, send)
        elif scope["path"] == TALLY:
            await JSONResponse(self.tally())(scope, receive, send)
        else:
            wait_s = self.take(scope["path"])
            answer = self._app if wait_s is None else self._refusal(wait_s)
            await answer(scope, receive, send)

    def take(self, path: str) -> int | None:
        """Counts a request. None: it passes; else how long to wait (whole s)."""
        now = self._clock()
        for times in (self._asked, self._passed):
            while times and times[0] <= now - MINUTE_S:
                times.popleft()
        self._asked.append(now)
        self._paths[path] += 1
        self._most_in_a_minute = max(self._most_in_a_minute, len(self._asked))
        if self._per_minute and len(self._passed) >= self._per_minute:
            self._refused[path] += 1
            return max(1, math.ceil(self._passed[0] + MINUTE_S - now))
        self._passed.append(now)
        return None

    def tally(self) -> dict[str, Any]:
        """Counts of the requests so far, including refused ones: all, the most in any minute, by path."""
        return {
            "requests": self._paths.total(),
            "most_in_a_minute": self._most_in_a_minute,
            "by_path": dict(self._paths),
            "refused": self._refused.total(),
            "refused_by_path": dict(self._refused),
        }

    def _refusal(self, wait_s: int) -> JSONResponse:
        return JSONResponse(
            {
                "detail": "Request was throttled because of exceeding a request limit rate "
                f"({self._per_minute}/minute)"
            },
            status_code=429,
            headers={"Retry-After": str(wait_s)},
        )
