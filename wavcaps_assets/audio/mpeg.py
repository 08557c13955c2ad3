"""Finds where MPEG audio begins: it has no file header, only frames that follow each other.

Frame headers: ISO/IEC 11172-3, 2.4.1.3 (layers I to III) and ISO/IEC 13818-7, 6.2 (ADTS).
"""

from __future__ import annotations

import re

SYNC = re.compile(rb"\xff[\xe2-\xff]")
# A match of this many frames in a row is not chance. The last one may be cut.
FRAMES_IN_A_ROW = 4
# Version, layer and sample rate: equal in all frames of a stream.
SAME_BITS = 0xFFFE0C00
HEADER_BYTES = 4
ADTS_HEADER_BYTES = 7
# kbit/s by bit rate index from 1; 0 is "free format", whose frame length is not in its header.
LAYER_1 = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
LAYER_2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
LAYER_3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
LOW_LAYER_1 = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
LOW_LAYER_2_AND_3 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
RATES = (44_100, 48_000, 32_000)
# By the version field: MPEG 2.5, (reserved), MPEG 2, MPEG 1.
RATE_DIVISORS = (4, 0, 2, 1)


def is_adts(header: bytes) -> bool:
    """Whether a frame header is of AAC in ADTS, not of layers I to III."""
    return len(header) > 1 and header[1] & 0xF6 == 0xF0


def frame_bytes(data: bytes, at: int) -> int:
    """The length of the frame whose header is at `at` (bytes); 0 if there is no valid header."""
    header = data[at : at + ADTS_HEADER_BYTES]
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    if is_adts(header):
        if len(header) < ADTS_HEADER_BYTES or header[2] >> 2 & 0xF > 12:
            return 0
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        return length if length > ADTS_HEADER_BYTES else 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bit_rate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bit_rate in {0, 15} or rate == 3:
        return 0
    if version == 3:
        kilobits = (LAYER_1, LAYER_2, LAYER_3)[layer - 1][bit_rate - 1]
    else:
        kilobits = (LOW_LAYER_1 if layer == 1 else LOW_LAYER_2_AND_3)[bit_rate - 1]
    hertz = RATES[rate] // RATE_DIVISORS[version]
    if layer == 1:
        return (12_000 * kilobits // hertz + padding) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * kilobits // hertz + padding


def first_frame(data: bytes) -> int | None:
    """The offset of the first of several frames in a row, or None.

    Args:
        data: the start of a file. Frames must follow each other within it.
    """
    for found in SYNC.finditer(data):
        start = at = found.start()
        stream = _stream(data, start)
        for _ in range(FRAMES_IN_A_ROW - 1):
            length = frame_bytes(data, at)
            at += length
            if not length or _stream(data, at) != stream or not frame_bytes(data, at):
                break
        else:
            return start
    return None


def _stream(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + HEADER_BYTES], "big") & SAME_BITS
