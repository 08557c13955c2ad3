"""A progress line in the terminal; silent where nobody looks at one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], object]]:
    """Gives a function to call after each item."""
    from tqdm import tqdm

    with tqdm(
        total=total, desc=what, unit=" clips", disable=not sys.stderr.isatty(), leave=False, ncols=90
    ) as bar:
        yield bar.update
