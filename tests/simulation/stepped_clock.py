"""A clock that a test moves on. Time passes as usual in between."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo
from typing import Self

import dagster._time
import pytest

import wavcaps_assets.clock
from wavcaps_assets.clock import Moment

real_time = time.time


class SteppedClock:
    """The time of this process, for our modules and for Dagster.

    Args:
        start: the time now.
    """

    def __init__(self, start: datetime, environment: pytest.MonkeyPatch) -> None:
        self.set(start)
        clock = self

        class Stepped(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return cls.fromtimestamp(clock.seconds(), tz)

        environment.setattr(wavcaps_assets.clock, "datetime", Stepped)
        environment.setattr(wavcaps_assets.clock, "moment", self.moment)
        environment.setattr(time, "time", self.seconds)
        # What log records take since Python 3.13, and after an import of ray.
        environment.setattr(time, "time_ns", self.nanoseconds)
        environment.setattr(dagster._time, "_mockable_get_current_timestamp", self.seconds)
        environment.setattr(dagster._time, "_mockable_get_current_datetime", self.now)

    def set(self, now: datetime) -> None:
        self._ahead_s = now.timestamp() - real_time()

    def seconds(self) -> float:
        """Seconds since 1970."""
        return real_time() + self._ahead_s

    def nanoseconds(self) -> int:
        """Nanoseconds since 1970."""
        return int(self.seconds() * 1e9)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def moment(self) -> Moment:
        return Moment(self.seconds(), self.seconds(), "stepped")
