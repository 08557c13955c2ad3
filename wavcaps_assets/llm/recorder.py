"""Stores answers in groups: callers wait until theirs is on the disk, and all that wait share a write."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from wavcaps_assets.llm.ledger import ResponseLedger


class Recorder:
    """Writes records to the response ledger from one event loop, in one thread.

    A sync to the disk, or an object in a bucket, takes as long for one record as for a hundred. Use as an
    asynchronous context manager: on exit everything that was passed to `write` is in the store, even if
    the caller of `write` has been cancelled.
    """

    def __init__(self, ledger: ResponseLedger) -> None:
        self._ledger = ledger
        self._waiting: list[tuple[Mapping[str, Any], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Recorder:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._waiting:
            # A loop that is torn down has cancelled the task, so that nobody else writes these.
            self._ledger.record_many([record for record, _ in self._waiting])
            self._waiting.clear()

    async def write(self, record: Mapping[str, Any]) -> None:
        """Returns once the record is in the store.

        Raises:
            StoreError: it cannot be written.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((record, written))
        if self._task is None:
            self._task = asyncio.create_task(self._write_all())
        await written

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                try:
                    await asyncio.to_thread(self._ledger.record_many, [record for record, _ in group])
                except asyncio.CancelledError:
                    # The thread writes the group all the same.
                    raise
                except BaseException as error:
                    if not isinstance(error, Exception):
                        # Interrupted, perhaps before the write: the exit writes the group, even if twice.
                        self._waiting[:0] = group
                    for _, written in group:
                        if not written.done():
                            written.set_exception(error)
                else:
                    for _, written in group:
                        if not written.done():
                            written.set_result(None)
        finally:
            self._task = None
