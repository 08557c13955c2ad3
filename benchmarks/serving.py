"""A server in a separate process, as long as a benchmark runs."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Runs `serve` with a listening socket until the benchmark has ended. Gives its root URL."""
    listener = socket.create_server((HOST, 0), backlog=1024)
    process = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    process.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        process.terminate()
        process.join()
