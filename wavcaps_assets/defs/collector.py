"""Python's garbage collector, kept away from objects that stay."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """While many objects are made that stay, the collector would look for cycles among them again and again.

    It goes on as before at the end, also where this is used inside itself.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def objects_that_stay() -> Iterator[None]:
    """What is made or imported here stays until the process ends, as definitions do.

    The collector never looks at it: not while it is made, not in a later collection, and not when the process
    ends, which would take a run's process half a second. Where DuckDB was imported before, it looks at the
    end: DuckDB reports its own objects as leaked if they are still there.
    """
    with paused_collector():
        yield
        gc.freeze()
        if "duckdb" in sys.modules:
            atexit.register(gc.unfreeze)
