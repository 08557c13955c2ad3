"""The clock of several processes, which a test moves: libfaketime, of PyPI's package of that name."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.paths import ROOT

LIBRARY = Path("vendor", "libfaketime", "src", "libfaketime.so.1")
# How long a process may take the clock to be where it was (s).
SEEN_AFTER_S = 1
# Quotas and pauses of hosts count the time since the machine was started, which nobody sets. Here it passes
# as the wall clock does. Python imports a module of this name when it starts.
HOOK = "sitecustomize.py"
ALL_TIME_PASSES = """
import time
from wavcaps_assets import clock
clock.moment = lambda: clock.Moment(time.time(), time.time(), "fake")
"""


class FakeClock:
    """The wall clock of every process with its `environment`. Waits and time-outs take as long as always;
    quotas and pauses of hosts count by it.

    Args:
        file: gets how far the clock is ahead of the real one.
        start: what the clock shows now.
    """

    def __init__(self, file: Path, start: datetime) -> None:
        self._file = file
        self._ahead = start - datetime.now(UTC)
        self._write()
        spec = importlib.util.find_spec("libfaketime")
        if spec is None or spec.origin is None:
            pytest.skip("libfaketime is not installed: it is in the extra `dev`")
        installed = Path(spec.origin).parent / LIBRARY
        if not installed.exists():
            pytest.skip("libfaketime has no library for this system")
        library = Path(shutil.copy(installed, file.parent))
        (file.parent / HOOK).write_text(ALL_TIME_PASSES)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": str(SEEN_AFTER_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": os.pathsep.join([str(file.parent), str(ROOT)]),
        }

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def move(self, by: timedelta) -> None:
        """Moves the clock on, or back, and waits until all processes have seen it."""
        self._ahead += by
        self._write()
        time.sleep(SEEN_AFTER_S + 0.1)

    def _write(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{self._ahead.total_seconds():+.0f}\n")
        new.chmod(0o644)
        new.replace(self._file)


@contextmanager
def fake_clock(start: datetime) -> Iterator[FakeClock]:
    # Not below pytest's folders, which the user of Postgres cannot enter.
    with TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield FakeClock(Path(folder) / "ahead", start)
