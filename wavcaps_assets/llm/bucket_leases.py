"""Leases of requests in a bucket: runs on several machines never send the same request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from types import TracebackType

from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.store import shared_leases
from wavcaps_assets.store.shared_leases import LostLease, SharedLeases

logger = logging.getLogger(__name__)

NAME = "leases"


class BucketLeases:
    """The leases of one run. Use as an asynchronous context manager.

    All workers that wait for a lease share one write of the bucket.
    """

    # Until a request that another run has leased is looked at again (s).
    poll_s = 1.0

    def __init__(self, ledger: ResponseLedger) -> None:
        self._ledger = ledger
        self._shared = SharedLeases(ledger.store, ledger.folder, NAME)
        self._held: set[str] = set()
        self._wanted: dict[str, asyncio.Future[bool]] = {}
        self._released: list[str] = []
        self._closing = False
        # After a sleep, one of those that wait to send asks for all.
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> BucketLeases:
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wake.set()
        await asyncio.wait([self._task])
        await asyncio.to_thread(self._shared.close)

    async def acquire(self, key: str) -> bool:
        """Leases a request; False: this run holds the lease already, or another one that is alive does.

        Then the ledger has what other runs have answered.
        """
        if key in self._held:
            return False
        self._held.add(key)
        waiting = self._wanted[key] = asyncio.get_running_loop().create_future()
        self._wake.set()
        acquired = False
        try:
            acquired = await waiting
        finally:
            if not acquired:
                self._held.discard(key)
        return acquired

    async def holds(self, key: str) -> bool:
        """Whether this run still has a lease. The bucket is asked only if it may have been thought dead."""
        async with self._asking:
            if not self._shared.is_fresh():
                with suppress(LostLease):
                    await asyncio.to_thread(self._shared.exchange)
        return self._shared.holds(key)

    def release(self, key: str) -> None:
        """The request's answer is in the store, or the request is not sent."""
        self._held.discard(key)
        self._released.append(key)
        self._wake.set()

    async def _work(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(shared_leases.BEAT_S / 4):
                    await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = self._wanted, {}
            released, self._released = self._released, []
            try:
                got = await asyncio.to_thread(self._exchange, wanted, released)
            except Exception as error:
                # Whatever it is, those that wait must hear of it.
                self._released += released
                if not wanted:
                    logger.warning("leases cannot be renewed or released now: %s", error)
                for waiting in wanted.values():
                    if not waiting.done():
                        waiting.set_exception(error)
            else:
                for key, waiting in wanted.items():
                    if not waiting.done():
                        waiting.set_result(key in got)
        for waiting in self._wanted.values():
            waiting.cancel()

    def _exchange(self, wanted: Collection[str], released: Collection[str]) -> set[str]:
        if not wanted and not released:
            self._shared.beat()
            return set()
        try:
            got = self._shared.exchange(wanted, released)
        except LostLease as error:
            # Who has them asks `holds` before it sends.
            logger.warning("%s", error)
            got = self._shared.exchange(wanted)
        if wanted and self._shared.others_changed():
            self._ledger.refresh()
        return got
