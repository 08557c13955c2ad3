"""Checks whether an Ogg file is complete.

Ogg decoders skip damage and stop where a file was cut, without an error. Each page has a length and a
checksum, which show both.
"""

from __future__ import annotations

import zlib
from pathlib import Path

HEADER_BYTES = 27
CHECKSUM = slice(22, 26)
LAST_PAGE = 4
NO_POSITION = -1
# Ogg's CRC-32 is zlib's with the bits of each byte and of the result in the other order.
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def broken_at(path: Path) -> int | None:
    """Finds the first page that is cut or damaged.

    Returns:
        The end of the page before it, in samples (Opus: at 48 kHz); None if all pages are complete.
    """
    position, ended = 0, False
    with path.open("rb") as file:
        while header := file.read(HEADER_BYTES):
            lengths = file.read(header[-1]) if len(header) == HEADER_BYTES else b""
            page = header + lengths + file.read(sum(lengths))
            if not _is_whole(page):
                # Data after a last page is not part of the audio.
                return None if ended else position
            ended = bool(page[5] & LAST_PAGE)
            granule = int.from_bytes(page[6:14], "little", signed=True)
            position = position if granule == NO_POSITION else granule
    return None


def _is_whole(page: bytes) -> bool:
    if len(page) < HEADER_BYTES or not page.startswith(b"OggS"):
        return False
    body = HEADER_BYTES + page[26]
    return len(page) == body + sum(page[HEADER_BYTES:body]) and _checksum(page) == page[CHECKSUM]


def _checksum(page: bytes) -> bytes:
    cleared = page[: CHECKSUM.start] + bytes(4) + page[CHECKSUM.stop :]
    reversed_crc = zlib.crc32(cleared.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    # Little-endian bytes of the reversed number are its big-endian bytes, each reversed.
    return reversed_crc.to_bytes(4, "big").translate(REVERSED)
