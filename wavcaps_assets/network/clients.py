"""httpx clients, each lent to one transfer at a time."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx


class Clients:
    """As many clients as there are transfers at once; what one has done with, the next takes up.

    One client for all threads will not do. httpcore (1.0.9) shares an HTTP/2 connection between them and
    guards neither the numbers of its streams nor its flow control: two requests that begin together can
    take the same stream, and each other's body.

    Args:
        make: a new client.
    """

    def __init__(self, make: Callable[[], httpx.Client]) -> None:
        self._make = make
        # The last one back is the next one out: its connections are the least likely to have gone stale.
        self._idle: queue.LifoQueue[httpx.Client] = queue.LifoQueue()

    @contextmanager
    def lent(self) -> Iterator[httpx.Client]:
        """A client that nobody else uses meanwhile."""
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._make()
        try:
            yield client
        finally:
            self._idle.put(client)

    def close(self) -> None:
        """Closes all connections. No client may be lent out."""
        while not self._idle.empty():
            self._idle.get_nowait().close()
