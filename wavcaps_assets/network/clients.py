"""A pool of httpx clients, each used by one transfer at a time."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx


class Clients:
    """A pool with one client per concurrent transfer.

    Threads cannot share one client: httpcore (1.0.9) shares an HTTP/2 connection between them and locks
    neither its stream numbers nor its flow control. Two requests that begin together can get the same
    stream, and each other's body.

    Args:
        make: creates a client.
    """

    def __init__(self, make: Callable[[], httpx.Client]) -> None:
        self._make = make
        # Last in, first out: the connections used last are the least likely to be stale.
        self._idle: queue.LifoQueue[httpx.Client] = queue.LifoQueue()

    @contextmanager
    def borrow(self) -> Iterator[httpx.Client]:
        """A client that no other thread uses in the meantime."""
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._make()
        try:
            yield client
        finally:
            self._idle.put(client)

    def close(self) -> None:
        """Closes all connections. No client may be in use."""
        while not self._idle.empty():
            self._idle.get_nowait().close()
