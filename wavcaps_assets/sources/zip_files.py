"""Zip archives that are read in place: which files one has, and the content of one of them.

An archive may be split into `NAME.z01`, `NAME.z02`, …, `NAME.zip`, as the released audio of FreeSound is.
Python's own `zipfile` refuses these. No file is written under a name of the archive. The format is that of
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (sections 4.3 and 4.5.3).
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
LOCATOR_64 = struct.Struct("<4sIQI")
END_64 = struct.Struct("<4sQ2H2I4Q")
STORED, DEFLATED = 0, 8
ENCRYPTED, IS_UTF8 = 0x1, 0x800
ZIP64_FIELDS = 1
MAX_COMMENT = 65_535
UNKNOWN_16, UNKNOWN_32 = 0xFFFF, 0xFFFFFFFF
# A directory needs about 100 bytes for a file: this is one of ten million files.
MAX_DIRECTORY_BYTES = 2**30
# No clip is larger. A small member that claims more is made to fill a disk.
MAX_MEMBER_BYTES = 2**32
BLOCK = 2**20


class ZipError(ValueError):
    """An archive is not a zip, is damaged or incomplete, or has a member that must not be unpacked."""


@dataclass(frozen=True)
class ZipMember:
    """A file of an archive.

    Attributes:
        name: as the archive has it; not a path to write to.
        header: where its header is, in the parts of the archive one after another (bytes).
        packed: its size in the archive (bytes).
        size: its size (bytes).
        problem: why it must not be used; empty if it can be.
    """

    name: str
    header: int
    packed: int
    size: int
    problem: str = ""


def parts_of(archive: Path) -> list[Path]:
    """The parts of an archive, in their order; an archive in one piece is its only part."""
    numbered: list[Path] = []
    while (part := archive.with_suffix(f".z{len(numbered) + 1:02d}")).is_file():
        numbered.append(part)
    return [*numbered, archive]


class ZipParts:
    """The bytes of an archive, whose parts are read as if they were one file."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self._stack = ExitStack()
        self._files: list[BinaryIO] = []
        self.starts = [0]
        try:
            for part in parts_of(archive):
                self._files.append(self._stack.enter_context(part.open("rb")))
                self.starts.append(self.starts[-1] + part.stat().st_size)
        except OSError as error:
            self._stack.close()
            raise ZipError(f"{error.filename} cannot be read: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def size(self) -> int:
        return self.starts[-1]

    def read(self, start: int, size: int) -> bytes:
        """A range of bytes; fewer where the archive ends first."""
        found = b""
        for number, file in enumerate(self._files):
            first, end = self.starts[number], self.starts[number + 1]
            position = start + len(found)
            if first <= position < end and len(found) < size:
                file.seek(position - first)
                found += file.read(min(size - len(found), end - position))
        return found

    def blocks(self, start: int, size: int) -> Iterator[bytes]:
        """As `read`, in pieces.

        Raises:
            ZipError: the archive ends first.
        """
        end = start + size
        while start < end:
            block = self.read(start, min(BLOCK, end - start))
            if not block:
                raise ZipError(f"{self.archive.name} is truncated: it ends at {start:,} bytes")
            yield block
            start += len(block)


def members_of(archive: Path) -> Iterator[ZipMember]:
    """The files of an archive, by its directory, without folders.

    Raises:
        ZipError: it has no directory, parts of it are missing, or the directory is damaged.
    """
    with ZipParts(archive) as parts:
        disks, count, size, start = _directory(parts)
        if disks != len(parts.starts) - 1:
            raise ZipError(
                f"{archive} is the last of {disks} parts, and {len(parts.starts) - 1} are there: all of "
                f"{archive.stem}.z01 and so on must be in its folder"
            )
        directory = parts.read(start, size)
        if len(directory) < size:
            raise ZipError(f"{archive} is truncated: its directory is not complete")
    position = 0
    for _ in range(count):
        if len(directory) - position < CENTRAL.size:
            raise ZipError(f"{archive} is damaged: its directory has fewer than {count:,} files")
        fields = CENTRAL.unpack_from(directory, position)
        if fields[0] != b"PK\x01\x02":
            raise ZipError(f"{archive} is damaged: its directory has no file at {position:,} bytes")
        name_size, extra_size, comment_size = fields[10:13]
        name_start = position + CENTRAL.size
        name = directory[name_start : name_start + name_size]
        extra = directory[name_start + name_size : name_start + name_size + extra_size]
        position = name_start + name_size + extra_size + comment_size
        flags, packed, unpacked, disk, mode, header = (fields[at] for at in (3, 8, 9, 13, 15, 16))
        unpacked, packed, header, disk = _wide(extra, [unpacked, packed, header], disk)
        text = name.decode("utf-8" if flags & IS_UTF8 else "cp437", "replace")
        if text.endswith("/"):
            continue
        if disk >= disks:
            raise ZipError(f"{archive} is damaged: {text!r:.100} is in a part that does not exist")
        problem = _problem(text, flags, mode >> 16, unpacked)
        yield ZipMember(text, parts.starts[disk] + header, packed, unpacked, problem)


def unpack(archive: Path, header: int, packed: int, size: int, target: Path) -> None:
    """Writes the content of a member to a file.

    Args:
        header, packed, size: as in `ZipMember`.

    Raises:
        ZipError: there is no such member, it is damaged, or larger than its archive says.
    """
    if size > MAX_MEMBER_BYTES:
        raise ZipError(f"a file of {archive.name} has {size:,} bytes, which is no clip")
    with ZipParts(archive) as parts, target.open("wb") as file:
        start = parts.read(header, LOCAL.size)
        if len(start) < LOCAL.size or start[:4] != b"PK\x03\x04":
            raise ZipError(f"{archive.name} has no file at {header:,} bytes: it was replaced or is damaged")
        fields = LOCAL.unpack(start)
        method, checksum, name_size, extra_size = fields[3], fields[6], fields[9], fields[10]
        if fields[2] & ENCRYPTED or method not in (STORED, DEFLATED):
            raise ZipError(f"a file of {archive.name} is encrypted, or compressed in an unknown way")
        content = parts.blocks(header + LOCAL.size + name_size + extra_size, packed)
        written, found = 0, 0
        for block in content if method == STORED else _inflated(content, archive.name):
            written += len(block)
            if written > size:
                raise ZipError(f"a file of {archive.name} is larger than the {size:,} bytes that it claims")
            found = zlib.crc32(block, found)
            file.write(block)
        # With a data descriptor, the header has no checksum.
        if written != size or (checksum and found != checksum):
            raise ZipError(f"a file of {archive.name} is damaged: its size or checksum is another one")


def _inflated(content: Iterator[bytes], name: str) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for packed in content:
            block = inflater.decompress(packed, BLOCK)
            while block:
                yield block
                block = inflater.decompress(inflater.unconsumed_tail, BLOCK)
        yield inflater.flush()
    except zlib.error as error:
        raise ZipError(f"a file of {name} is damaged: {error}") from error


def _directory(parts: ZipParts) -> tuple[int, int, int, int]:
    """Of the directory: the number of parts, and of files; its size, and where it starts (bytes)."""
    tail_start = max(0, parts.size - END.size - MAX_COMMENT)
    tail = parts.read(tail_start, parts.size - tail_start)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < END.size:
        raise ZipError(f"{parts.archive} is not a zip, or is truncated: it has no directory at its end")
    _, disk, first, _, count, size, start, _ = END.unpack_from(tail, place)
    end = tail_start + place
    if UNKNOWN_16 in (disk, first, count) or UNKNOWN_32 in (size, start):
        locator = parts.read(max(0, end - LOCATOR_64.size), LOCATOR_64.size)
        if len(locator) == LOCATOR_64.size and locator[:4] == b"PK\x06\x07":
            _, on_disk, relative, _ = LOCATOR_64.unpack(locator)
            place_64 = parts.starts[on_disk] + relative if on_disk < len(parts.starts) - 1 else -1
            record = parts.read(place_64, END_64.size) if place_64 >= 0 else b""
            if len(record) == END_64.size and record[:4] == b"PK\x06\x06":
                disk, first, _, count, size, start = END_64.unpack(record)[4:]
    if first < len(parts.starts) - 1:
        start += parts.starts[first]
    if size > MAX_DIRECTORY_BYTES:
        raise ZipError(f"{parts.archive} has a directory of {size:,} bytes, which is none of clips")
    return disk + 1, count, size, start


def _wide(extra: bytes, values: list[int], disk: int) -> tuple[int, int, int, int]:
    """The sizes and the place of a file, with those that need 64 bits from its extra field."""
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, position)
        field = extra[position + 4 : position + 4 + size]
        position += 4 + size
        if kind != ZIP64_FIELDS:
            continue
        at = 0
        for number, value in enumerate(values):
            if value == UNKNOWN_32 and at + 8 <= len(field):
                values[number] = int.from_bytes(field[at : at + 8], "little")
                at += 8
        if disk == UNKNOWN_16 and at + 4 <= len(field):
            disk = int.from_bytes(field[at : at + 4], "little")
    return values[0], values[1], values[2], disk


def _problem(name: str, flags: int, mode: int, size: int) -> str:
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name:
        return "its name leads out of the archive"
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        return "it is a link or a device"
    if flags & ENCRYPTED:
        return "it is encrypted"
    return f"it claims {size:,} bytes, which is no clip" if size > MAX_MEMBER_BYTES else ""
