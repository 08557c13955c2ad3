"""Whether the index of an MP4 file can be what it says.

A few bytes of an index can stand for thousands of millions of packets, and FFmpeg lists them all, 36
bytes each, before it reads the first: a file of 2 KB takes all memory there is. So we count before it.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from wavcaps_assets.audio.limits import UnreadableAudio

# More than a day of AAC; FFmpeg takes 150 MB for them.
MOST_PACKETS = 1 << 22
# Where a table lists chunks instead, FFmpeg cuts each chunk into packets of at least this many samples.
SAMPLES_PER_PACKET = 160
TABLES = re.compile(rb"stsz|stz2|trun|stts|ctts|stsc|stco|co64|cmov")
HEADER_BYTES = 8


def check_index(path: Path) -> None:
    """Refuses an index that claims more packets than a clip can have.

    Raises:
        UnreadableAudio: says how many it claims.
    """
    counts: Counter[bytes] = Counter()
    per_chunk = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start, end in _outside_media(data):
            # Tables are found wherever they stand: FFmpeg looks into boxes that no standard names.
            for found in TABLES.finditer(data, start, end):
                kind, at = found[0], found.end()
                if kind == b"cmov":
                    raise UnreadableAudio("its index is compressed, as in QuickTime files of the nineties")
                if kind in (b"stts", b"ctts"):
                    counts[kind] += sum(count for count, _ in _entries(data, at, "II"))
                elif kind == b"stsc":
                    per_chunk = max([per_chunk, *(samples for _, samples, _ in _entries(data, at, "III"))])
                else:
                    counts[kind] += _number(data, at + (8 if kind in (b"stsz", b"stz2") else 4))
    chunks = counts.pop(b"stco", 0) + counts.pop(b"co64", 0)
    packets = max([chunks * per_chunk // SAMPLES_PER_PACKET, *counts.values()])
    if packets > MOST_PACKETS:
        raise UnreadableAudio(f"its index claims {packets:,} packets; {MOST_PACKETS:,} can be")


def _outside_media(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Start and end of each box of the outermost level but those that hold the audio itself."""
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
    """The entries of a table whose version and flags stand at a place, as far as the file goes."""
    size = struct.calcsize(f">{form}")
    table = data[at + 8 : at + 8 + size * _number(data, at + 4)]
    return struct.iter_unpack(f">{form}", table[: len(table) // size * size])
