"""OpenSFX: the sounds of the game OpenTTD, in one `.cat` file with a description of each.

A `.cat` file starts with a pair of little-endian 32-bit integers, offset and size, for each entry;
the top bit of an offset is a flag. At each offset there is a byte with the text's length, the text with
its closing NUL byte, and a RIFF file, whose header has its size.
(https://github.com/OpenTTD/catcodec)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import soundfile

from wavcaps_assets.demo.clips import CC0, CC_BY, CC_BY_SA, DemoClip, Source, safe_name

PACKAGE = "openttd-opensfx"
CAT_PATH = "usr/share/games/openttd/baseset/opensfx/opensfx.cat"
# Higher than FreeSound's own ids, so that none of these is mistaken for a real sound.
FIRST_ID = 9_000_001
FIRST_DAY = datetime(2022, 9, 1)
LAST_DAY = datetime(2022, 12, 1)
PAIR = struct.Struct("<II")
OFFSET_BITS = 0x7FFFFFFF
LICENCES = (
    ("Creative Commons Attribution-ShareAlike 3.0", CC_BY_SA),
    ("Creative Commons Attribution 3.0", CC_BY),
    ("Creative Commons Zero 1.0", CC0),
)


class CatError(ValueError):
    """The file is not a complete `.cat` file."""


@dataclass(frozen=True)
class CatEntry:
    """One sound of a `.cat` file: its number, its description and its RIFF WAV file."""

    index: int
    text: str
    wav: bytes


def read_cat(data: bytes) -> Iterator[CatEntry]:
    """The entries of a `.cat` file, in order.

    Raises:
        CatError: an entry is outside the file, or has no RIFF file.
    """
    if len(data) < PAIR.size:
        raise CatError(f"a file of {len(data)} bytes is too short for a .cat file")
    header_bytes = PAIR.unpack_from(data)[0] & OFFSET_BITS
    if header_bytes == 0 or header_bytes % PAIR.size or header_bytes > len(data):
        raise CatError(f"a .cat header of {header_bytes} bytes does not fit a file of {len(data)} bytes")
    for index in range(header_bytes // PAIR.size):
        offset = PAIR.unpack_from(data, index * PAIR.size)[0] & OFFSET_BITS
        if not header_bytes <= offset < len(data):
            raise CatError(f"entry {index} starts at byte {offset} of {len(data)}")
        riff = offset + 1 + data[offset]
        if data[riff : riff + 4] != b"RIFF" or riff + 8 > len(data):
            raise CatError(f"entry {index} has no RIFF file at byte {riff}")
        end = riff + 8 + struct.unpack_from("<I", data, riff + 4)[0]
        if end > len(data):
            raise CatError(f"entry {index} ends at byte {end} of {len(data)}")
        text = data[offset + 1 : riff].split(b"\0")[0].decode("utf-8", errors="replace")
        yield CatEntry(index, text, data[riff:end])


def title_of(text: str) -> str:
    """The title that a description starts with, in quotation marks."""
    quoted = re.match(r'"([^"]+)"', text)
    return quoted[1] if quoted else text


def author_of(text: str) -> str:
    """The clip's editor, else its author, else the set's name."""
    edited = re.search(r'\b[Ee]dited(?: and mixed)? by ("?)([^".]+)\1\.', text)
    by = re.match(r'"[^"]+"\. By ([^".]+)\.', text)
    return edited[2] if edited else by[1] if by else "OpenSFX"


def licence_of(text: str) -> str:
    """The URL of the licence that a description names.

    Raises:
        CatError: it names none that this corpus knows, so the clip must not be served.
    """
    named = text.partition("License: ")[2]
    for name, url in LICENCES:
        if named.startswith(name):
            return url
    raise CatError(f"no known licence in {text!r}")


def recordings_of(entry: CatEntry) -> tuple[str, ...]:
    """The recordings that a clip was cut from, where its description names them, else the clip itself.

    Recordings are quoted file names, each followed by its author; what follows "by" or "aka" in
    quotation marks is an author's name.
    """
    credits = entry.text.partition('".')[2]
    named = re.findall(
        r'(?<!by )(?<!aka )"([^"]+)"(?: by (?:[^",.]* aka )?(?:"([^"]+)"|([^",.]+?)(?= and |[,.])))?', credits
    )
    found = [
        safe_name(f"{file} by {quoted or plain}" if quoted or plain else file)
        for file, quoted, plain in named
    ]
    return tuple(dict.fromkeys(found)) or (f"opensfx-{entry.index}",)


def freesound_clips(cat: Path, folder: Path) -> list[DemoClip]:
    """Writes each sound of a `.cat` file into the folder and describes it as a FreeSound upload.

    The dates of creation are invented: evenly spread over the three months that the demo crawls. One
    is midnight between two months, which belongs to the later month only.

    Raises:
        CatError: the file is not a complete `.cat` file.
    """
    entries = list(read_cat(cat.read_bytes()))
    clips = []
    for entry in entries:
        audio = f"clips/opensfx-{entry.index:02d}.wav"
        target = folder / audio
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(entry.wav)
        title = title_of(entry.text)
        clips.append(
            DemoClip(
                source=Source.FREESOUND,
                source_id=str(FIRST_ID + entry.index),
                origin=f"opensfx/{title}",
                audio=audio,
                duration_s=soundfile.info(target).duration,
                title=title,
                text=entry.text,
                category="OpenSFX",
                author=author_of(entry.text),
                licence=licence_of(entry.text),
                created=created_date(entry.index, len(entries)),
                recordings=recordings_of(entry),
            )
        )
    return clips


def created_date(index: int, count: int) -> str:
    """An invented date for a clip, as FreeSound writes it; the middle one of `count` starts a month."""
    if index == count // 2:
        return datetime(2022, 10, 1).isoformat(timespec="milliseconds")
    return (FIRST_DAY + (LAST_DAY - FIRST_DAY) * (index + 0.5) / count).isoformat(timespec="milliseconds")
