"""Reads the pages of an Ogg file (RFC 3533): its chained streams, and whether it is complete.

Ogg decoders skip damage and stop where a file was cut, without an error. Each page has a length and a
checksum, which show both. Ogg files may be joined ("chained"), each with its own rate and channels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = b"OggS"
HEADER_BYTES = 27
CHECKSUM = slice(22, 26)
FIRST_PAGE, LAST_PAGE = 2, 4
NO_POSITION = -1
# A tag or stray bytes before the first page; FFmpeg also searches this far.
MAX_STRAY_BYTES = 1 << 16
# Ogg's CRC-32 is zlib's with the bits of each byte and of the result in the other order.
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Pages:
    """What the pages of a file show.

    Attributes:
        links: start and end (bytes) of each chained stream.
        broken_at: end of the last page before one that is cut or damaged, in samples of its stream
            (Opus: at 48 kHz); None if all pages are complete.
    """

    links: tuple[tuple[int, int], ...]
    broken_at: int | None


def read_pages(path: Path, start: int = 0) -> Pages:
    """Reads all pages of a file.

    Args:
        start: where its first page is expected, after tags (bytes).
    """
    starts: list[int] = []
    position, ended, after_first_pages = 0, False, True
    end = start
    for at, page in _pages(path, start):
        if not _is_whole(page):
            # Data after a last page is not part of the audio.
            return Pages(_links(starts, end if ended else path.stat().st_size), None if ended else position)
        is_first = bool(page[5] & FIRST_PAGE)
        # The first pages of multiplexed streams follow each other; later ones begin another link.
        if is_first and after_first_pages:
            starts.append(at)
            position = 0
        after_first_pages = not is_first
        ended = bool(page[5] & LAST_PAGE)
        granule = int.from_bytes(page[6:14], "little", signed=True)
        position = position if granule == NO_POSITION else granule
        end = at + len(page)
    return Pages(_links(starts, end), None)


def _links(starts: list[int], end: int) -> tuple[tuple[int, int], ...]:
    return tuple(zip(starts, [*starts[1:], end], strict=True))


def _pages(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        file.seek(start)
        stray = file.read(MAX_STRAY_BYTES).find(MARK)
        at = start + max(stray, 0)
        file.seek(at)
        while header := file.read(HEADER_BYTES):
            lengths = file.read(header[-1]) if len(header) == HEADER_BYTES else b""
            page = header + lengths + file.read(sum(lengths))
            yield at, page
            at += len(page)


def _is_whole(page: bytes) -> bool:
    if len(page) < HEADER_BYTES or not page.startswith(MARK):
        return False
    body = HEADER_BYTES + page[26]
    return len(page) == body + sum(page[HEADER_BYTES:body]) and _checksum(page) == page[CHECKSUM]


def _checksum(page: bytes) -> bytes:
    cleared = page[: CHECKSUM.start] + bytes(4) + page[CHECKSUM.stop :]
    reversed_crc = zlib.crc32(cleared.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    # Little-endian bytes of the reversed number are its big-endian bytes, each reversed.
    return reversed_crc.to_bytes(4, "big").translate(REVERSED)
