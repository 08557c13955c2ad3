"""The time in UTC, ids that sort by it, and a time that nobody can set."""

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_crawl_id(started: datetime) -> str:
    """A unique id for a crawl or a fetch. Ids sort by the time at which they began."""
    return f"{started:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Moment:
    """Two clocks at one moment.

    Attributes:
        wall_s: the time of day, which people and time servers set (s since 1970).
        up_s: time since the machine was started, also while it was asleep (s). Nobody sets it.
        boot: which start of which machine that is; empty where the system does not say.
    """

    wall_s: float
    up_s: float
    boot: str

    def since(self, earlier: "Moment") -> float:
        """The time that has passed (s). After a restart of the machine, only the time of day is known."""
        if self.boot == earlier.boot and self.up_s >= earlier.up_s:
            return self.up_s - earlier.up_s
        return max(self.wall_s - earlier.wall_s, 0.0)


def moment() -> Moment:
    # macOS has no CLOCK_BOOTTIME; its monotonic clock counts from the start, too.
    up_s = time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
    try:
        boot = BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return Moment(utc_now().timestamp(), up_s, boot)
