"""The container of a file, from its first bytes and never from its name."""

from __future__ import annotations

from enum import StrEnum

from wavcaps_assets.audio.mpeg import is_adts

# Bytes read from a file's start; zeros or a tag may precede an MPEG stream.
HEAD_BYTES = 4096
APE_HEADER_BYTES = 32


class Container(StrEnum):
    """The containers that can be read, by their names in libsndfile or FFmpeg."""

    WAV = "WAV"
    AIFF = "AIFF"
    AU = "AU"
    CAF = "CAF"
    W64 = "W64"
    FLAC = "flac"
    MP3 = "mp3"
    ADTS = "aac"
    OGG = "ogg"
    MP4 = "mov"
    MATROSKA = "matroska"
    WAVPACK = "wv"


# libsndfile reads these first, and FFmpeg what libsndfile cannot read. The others are FFmpeg's only:
# libsndfile stops at the length in the header of FLAC and MP3, and after the first of chained Ogg streams.
BY_LIBSNDFILE = frozenset({Container.WAV, Container.AIFF, Container.AU, Container.CAF, Container.W64})
# QuickTime files may begin with any of these boxes.
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# A container's (offset, bytes) pairs must all match.
MARKS: tuple[tuple[Container, tuple[tuple[int, bytes], ...]], ...] = (
    (Container.WAV, ((0, b"RIFF"), (8, b"WAVE"))),
    (Container.WAV, ((0, b"RIFX"), (8, b"WAVE"))),
    (Container.WAV, ((0, b"RF64"), (8, b"WAVE"))),
    (Container.WAV, ((0, b"BW64"), (8, b"WAVE"))),
    (Container.W64, ((0, b"riff\x2e\x91\xcf\x11"),)),
    (Container.AIFF, ((0, b"FORM"), (8, b"AIFF"))),
    (Container.AIFF, ((0, b"FORM"), (8, b"AIFC"))),
    (Container.AU, ((0, b".snd"),)),
    (Container.CAF, ((0, b"caff"),)),
    (Container.FLAC, ((0, b"fLaC"),)),
    (Container.OGG, ((0, b"OggS"),)),
    *((Container.MP4, ((4, box),)) for box in MP4_BOXES),
    (Container.MATROSKA, ((0, b"\x1a\x45\xdf\xa3"),)),
    (Container.WAVPACK, ((0, b"wvpk"),)),
)


def container_of(head: bytes) -> Container | None:
    """The container of a file, or None.

    Args:
        head: the file's first bytes, after any tags.
    """
    for container, marks in MARKS:
        if all(head.startswith(mark, offset) for offset, mark in marks):
            return container
    return _mpeg(head.lstrip(b"\0"))


def tag_bytes(head: bytes) -> int:
    """The length of the ID3v2 or APEv2 tag at a file's start (bytes); 0 if there is none."""
    if head.startswith(b"APETAGEX") and len(head) >= APE_HEADER_BYTES:
        # The size leaves out this header.
        return APE_HEADER_BYTES + int.from_bytes(head[12:16], "little")
    if len(head) < 10 or not head.startswith(b"ID3") or max(head[6:10]) > 127:
        return 0
    size = int.from_bytes(head[6:10], "big")
    # Four groups of seven bits.
    size = (size & 0x7F) | (size & 0x7F00) >> 1 | (size & 0x7F0000) >> 2 | (size & 0x7F000000) >> 3
    return 10 + size


def _mpeg(head: bytes) -> Container | None:
    """Detects MPEG audio by the header of its first frame."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if is_adts(head):
        return Container.ADTS
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return None if layer == 0 or version == 1 or bit_rate == 15 or sample_rate == 3 else Container.MP3
