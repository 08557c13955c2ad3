"""The code location `wavcaps_assets` on a day that is in a file. STEPPED_TODAY is its path.

Only for processes of its own, since it replaces the calendar.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

from wavcaps_assets.definitions import defs
from wavcaps_assets.defs import new_partitions
from wavcaps_assets.sources import freesound_settings

__all__ = ["defs"]

_real = freesound_settings.last_full_month


def _stepped(today: date) -> str:
    """The file's day counts, and not today's."""
    del today
    return _real(date.fromisoformat(Path(os.environ["STEPPED_TODAY"]).read_text()))


freesound_settings.last_full_month = _stepped
new_partitions.EVERY_S = 30
