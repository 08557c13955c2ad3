"""Checks the size of an MP4 file's index.

A few bytes of an index can describe billions of packets, and FFmpeg lists all of them, 36 bytes each,
before it reads the first: a file of 2 KB can fill the memory. So the packets are counted before.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from wavcaps_assets.audio.limits import UnreadableAudio

# More than a day of AAC; FFmpeg needs 150 MB for them.
MAX_PACKETS = 1 << 22
# Where a table lists chunks instead, FFmpeg cuts each chunk into packets of at least this many samples.
SAMPLES_PER_PACKET = 160
TABLES = re.compile(rb"stsz|stz2|trun|stts|ctts|stsc|stco|co64|cmov")
HEADER_BYTES = 8


def check_index(path: Path) -> None:
    """Checks that an index does not claim more packets than a clip can have.

    Raises:
        UnreadableAudio: it does; gives the number.
    """
    counts: Counter[bytes] = Counter()
    per_chunk = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start, end in _outside_media(data):
            # Tables are searched everywhere: FFmpeg also looks into non-standard boxes.
            for found in TABLES.finditer(data, start, end):
                kind, at = found[0], found.end()
                if kind == b"cmov":
                    raise UnreadableAudio("its index is compressed, as in QuickTime files of the 1990s")
                if kind in (b"stts", b"ctts"):
                    counts[kind] += sum(count for count, _ in _entries(data, at, "II"))
                elif kind == b"stsc":
                    per_chunk = max([per_chunk, *(samples for _, samples, _ in _entries(data, at, "III"))])
                else:
                    counts[kind] += _number(data, at + (8 if kind in (b"stsz", b"stz2") else 4))
    chunks = counts.pop(b"stco", 0) + counts.pop(b"co64", 0)
    packets = max([chunks * per_chunk // SAMPLES_PER_PACKET, *counts.values()])
    if packets > MAX_PACKETS:
        raise UnreadableAudio(f"its index claims {packets:,} packets; {MAX_PACKETS:,} is possible")


def _outside_media(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Start and end of each top-level box, except those of the audio itself."""
    at = 0
    while at + HEADER_BYTES <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 2 * HEADER_BYTES <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + HEADER_BYTES)
        end = len(data) if size < HEADER_BYTES else min(at + size, len(data))
        if kind != b"mdat":
            yield at, end
        at = end


def _number(data: mmap.mmap, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _entries(data: mmap.mmap, at: int, form: str) -> Iterator[tuple[int, ...]]:
    """The entries of a table whose version and flags are at `at`, up to the end of the file."""
    size = struct.calcsize(f">{form}")
    table = data[at + 8 : at + 8 + size * _number(data, at + 4)]
    return struct.iter_unpack(f">{form}", table[: len(table) // size * size])
