"""What sources that are read from a folder have in common: its audio files, in subfolders too."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

# In order of preference.
SUFFIXES = ("wav", "flac", "aiff", "aif", "ogg", "opus", "m4a", "mp4", "mkv", "webm", "mp3")


BLOCK_BYTES = 2**20


def crc32_of(path: Path) -> str:
    """The CRC-32 of a file, in 8 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    value = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            value = zlib.crc32(block, value)
    return f"{value:08x}"


def files_in(folder: Path) -> Iterator[str]:
    """The paths of all files, relative to the folder.

    Raises:
        OSError: the folder itself cannot be read.
    """
    with os.scandir(folder):
        pass
    for root, folders, names in os.walk(folder):
        folders.sort()
        # Not a Path for each file: a data pack has hundreds of thousands.
        within = os.path.relpath(root, folder)
        for name in sorted(names):
            yield name if within == os.curdir else f"{within}{os.sep}{name}"
