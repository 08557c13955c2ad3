"""What sources that are read from a folder have in common: its audio files, in subfolders too."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _csv import Reader

# In order of preference.
SUFFIXES = ("wav", "flac", "aiff", "aif", "ogg", "opus", "m4a", "mp4", "mkv", "webm", "mp3")

# Names of files that are audio.
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mka", ".mkv", ".mp3", ".mp4"}
    | {".oga", ".ogg", ".opus", ".wav", ".wma", ".wv"}
)
MAX_ID_CHARS = 64
HASH_DIGITS = 8
BLOCK_BYTES = 2**20
# Python's own limit of a cell is 131,072: a longer description would end the reading of the file.
MAX_CELL_CHARS = 2**27


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


def csv_cells(file: TextIO) -> Reader:
    """Reads the rows of a csv file; cells may be long, and quotation marks must be closed."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL_CHARS))
    return csv.reader(file, strict=True)


def require_file(folder: Path, path: str) -> Path:
    """A file of a folder, by its path in it.

    Raises:
        OSError: it is a link that leads out of the folder, or a device or pipe, which may have no end.
    """
    file = folder / path
    if not file.resolve().is_relative_to(folder.resolve()):
        raise OSError(errno.EPERM, "it is a link to a file outside the folder")
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


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


def safe_id(file: str) -> str:
    """An id that does not depend on other files: the name, with a hash where characters are replaced."""
    stem = str(PurePosixPath(file).with_suffix(""))
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")
    if safe == stem and len(safe) <= MAX_ID_CHARS:
        return safe
    digest = hashlib.sha256(file.encode("utf-8", errors="replace")).hexdigest()[:HASH_DIGITS]
    return f"{safe[: MAX_ID_CHARS - HASH_DIGITS - 1]}-{digest}".lstrip("-")
