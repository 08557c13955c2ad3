"""A store whose server does not answer for a while: the requests of a step wait for it, and go on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from wavcaps_assets.store.bucket_errors import InterruptedDownload, ServerGone
from wavcaps_assets.store.errors import StoreError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A step waits this long for a server that does not answer, and asks it at this interval (s).
OUTAGE_S, AGAIN_S = 600.0, 5.0


class Outages:
    """Waits for a server that does not answer. The threads of a store share it.

    The time counts from the first request that fails, so that those that follow do not wait as long again.

    Args:
        waits: whether requests wait; else they fail at once.
    """

    def __init__(self, waits: bool) -> None:
        self.waits = waits
        self._lock = threading.Lock()
        # Since when the server has not answered, by a clock that stops while the machine sleeps (s).
        self._since: float | None = None
        self._guards: list[Callable[[], object]] = []

    def sit_out(self, request: Callable[[], T]) -> T:
        """Makes a request, again and again while the server is gone. Returns its outcome.

        Args:
            request: may be made twice, because a server may go after it has done what it was asked.

        Raises:
            StoreError: the request's own error, that of a guard, or the server was gone for `OUTAGE_S`.
        """
        began: float | None = None
        while True:
            try:
                for guard in self._guards if began is not None else ():
                    guard()
                answer = request()
            except ServerGone as error:
                if not self.waits:
                    raise
                gone_s = self._gone_s(error)
                began = time.monotonic() if began is None else began
                if max(gone_s, time.monotonic() - began) >= OUTAGE_S:
                    raise ServerGone(
                        f"{error}. It was waited for, for {OUTAGE_S / 60:.0f} minutes: "
                        "start the run again when the server responds"
                    ) from None
                time.sleep(AGAIN_S)
            except InterruptedDownload:
                raise
            except StoreError:
                self._answered()
                raise
            else:
                self._answered()
                return answer

    @contextmanager
    def guarded(self, guard: Callable[[], object]) -> Iterator[None]:
        """Calls `guard` before each request that is made again after a wait, until the context ends.

        It raises where the request must not be made any more, as when others took a lease over meanwhile.
        """
        self._guards.append(guard)
        try:
            yield
        finally:
            self._guards.remove(guard)

    def _gone_s(self, error: ServerGone) -> float:
        """How long the server has been gone (s)."""
        with self._lock:
            if self._since is None:
                self._since = time.monotonic()
                logger.warning("%s. It is waited for, for up to %.0f minutes", error, OUTAGE_S / 60)
            return time.monotonic() - self._since

    def _answered(self) -> None:
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            logger.info("the server of the store responds again, after %.0f s", time.monotonic() - since)
