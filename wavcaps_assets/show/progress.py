"""A progress line in the terminal; silent where nobody looks at one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """How far something is."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=total,
            desc=what,
            unit=f" {unit}",
            disable=not sys.stderr.isatty(),
            leave=False,
            dynamic_ncols=True,
        )

    def step(self) -> None:
        """One more is done."""
        self._bar.update()

    def at(self, done: int, total: int, note: str = "") -> None:
        """So many are done, of so many; the note stands behind them."""
        self._bar.total = total
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


@contextmanager
def progress(what: str, total: int, unit: str = "clips") -> Iterator[Meter]:
    """Shows a meter for as long as the context lasts."""
    meter = Meter(what, total, unit)
    try:
        yield meter
    finally:
        meter.close()
