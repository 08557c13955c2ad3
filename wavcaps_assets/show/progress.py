"""Progress of long work: one protocol, and a progress bar for the terminal.

Sentences for people go to `logging`. Numbers go to a `Progress`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

# Numbers and short texts about the work, by names for people.
Facts = Mapping[str, str | int | float]


class Progress(Protocol):
    """Receives the progress of long work. Long-running functions take one and call it as they work."""

    def update(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units are done. The note is for people: speed, cost, time left."""

    def record(self, facts: Facts) -> None:
        """Facts to keep even if the work fails afterwards, such as an estimate or the cost so far."""


class NoProgress:
    """Ignores everything: the default of every function that takes a `Progress`."""

    def update(self, done: int, total: int, note: str = "") -> None:
        pass

    def record(self, facts: Facts) -> None:
        pass


class ProgressBar:
    """A progress bar in the terminal. Silent when standard error is not a terminal."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=total,
            desc=title,
            unit=f" {unit}",
            disable=not sys.stderr.isatty(),
            leave=False,
            dynamic_ncols=True,
        )

    def step(self) -> None:
        """One more unit is done."""
        self._bar.update()

    def update(self, done: int, total: int, note: str = "") -> None:
        self._bar.total = total
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def record(self, facts: Facts) -> None:
        pass

    def close(self) -> None:
        self._bar.close()


@contextmanager
def progress_bar(title: str, total: int, unit: str = "clips") -> Iterator[ProgressBar]:
    """Shows a progress bar while the context lasts."""
    bar = ProgressBar(title, total, unit)
    try:
        yield bar
    finally:
        bar.close()
