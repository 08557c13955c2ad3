"""Reservations of requests that are in a batch while no run waits for them.

A run that pauses has submitted requests that will be charged. Until a later run collects them, the month's
total contains their maximum cost; that run settles them with what is stored here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.budget import Reservation
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import Store

FOLDER = "log/batches_reserved"


class BatchReservations:
    """Reservations by a request's key, in a store that is a folder and so holds the month's total too."""

    def __init__(self, store: Store) -> None:
        self._log = AppendLog(store, FOLDER)
        self._open: dict[str, Reservation] = {}
        # Two processes may have written alternately.
        for record in sorted(self._log.read(), key=lambda record: str(record["at"])):
            self._open.pop(record["key"], None)
            if record["held"]:
                self._open[record["key"]] = Reservation(record["run"], record["month"], record["pico"])

    def __enter__(self) -> BatchReservations:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def get(self, key: str) -> Reservation | None:
        return self._open.get(key)

    def add(self, reservations: Mapping[str, Reservation]) -> None:
        """Stores new reservations, before anything is submitted."""
        if not reservations:
            return
        at = utc_now().isoformat()
        self._log.append_many(
            [
                {"key": key, "held": True, "at": at, "run": one.run, "month": one.month, "pico": one.pico}
                for key, one in reservations.items()
            ]
        )
        self._open |= reservations

    def end(self, keys: Iterable[str]) -> None:
        """Stores which reservations were settled or released."""
        at = utc_now().isoformat()
        ended = [key for key in keys if self._open.pop(key, None) is not None]
        if ended:
            self._log.append_many([{"key": key, "held": False, "at": at} for key in ended])
