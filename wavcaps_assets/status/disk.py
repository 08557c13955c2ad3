"""The room that is left on this machine's disks."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path


def disk_left(folders: Iterable[Path]) -> int | None:
    """The free room of the fullest of the disks on which folders are (bytes); None: not known.

    Args:
        folders: need not exist yet.
    """
    free = []
    for folder in folders:
        there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), None)
        if there is None:
            continue
        try:
            free.append(shutil.disk_usage(there).free)
        except OSError:
            continue
    return min(free, default=None)
