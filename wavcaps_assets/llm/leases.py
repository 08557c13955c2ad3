"""Leases of requests: runs that work at the same time never send the same request."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from wavcaps_assets.llm.bucket_leases import BucketLeases
from wavcaps_assets.llm.folder_leases import FolderLeases
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.store.machines import has_conditional_writes


class Leases(Protocol):
    """The leases of one run, for its event loop."""

    @property
    def poll_s(self) -> float:
        """Until a request that another run has leased is looked at again (s)."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def acquire(self, key: str) -> bool:
        """Leases a request; False: this run holds the lease already, or another one that is alive does.

        Then the ledger has what other runs have answered.

        Raises:
            StoreError: the leases cannot be used.
        """
        ...

    async def holds(self, key: str) -> bool:
        """Whether this run still has a lease. Another one may have thought it dead, as after it slept.

        Raises:
            StoreError: the leases cannot be used.
        """
        ...

    def release(self, key: str) -> None:
        """The request's answer is in the store, or the request is not sent."""
        ...


class NoLeases:
    """For a bucket whose server has no conditional writes, with which one machine works at a time."""

    poll_s = 0.2

    def __init__(self) -> None:
        self._held: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def acquire(self, key: str) -> bool:
        acquired = key not in self._held
        self._held.add(key)
        return acquired

    async def holds(self, key: str) -> bool:
        return True

    def release(self, key: str) -> None:
        self._held.discard(key)


def open_leases(ledger: ResponseLedger) -> Leases:
    """The leases for a ledger's store.

    Raises:
        StoreError: the bucket cannot be used.
    """
    if ledger.store.is_folder:
        return FolderLeases(ledger)
    if has_conditional_writes(ledger.store, ledger.folder):
        return BucketLeases(ledger)
    return NoLeases()
