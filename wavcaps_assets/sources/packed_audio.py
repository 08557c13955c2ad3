"""Where a clip's audio is: a file of a folder, or a part of an archive in it. An archive is read in place.

- `dogs/1.flac`: a file.
- `shard-000.tar#1536+88064`: bytes of a tar that is not compressed, by their start and size.
- `SoundBible.zip#0+5120:9216`: a file of a zip, by the start of its header, its size there, and its own size.
- `train-000.parquet#2/17:audio`: a cell of a Parquet file, by its row group, the row in it, and the column.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.network.errors import NotThere
from wavcaps_assets.sources.zip_files import ZipError, ZipMember, unpack

BYTES = re.compile(r"(?P<file>.+\.tar)#(?P<start>\d{1,18})\+(?P<size>\d{1,18})")
ZIPPED = re.compile(
    r"(?P<file>.+\.zip)#(?P<header>\d{1,18})\+(?P<packed>\d{1,18}):(?P<size>\d{1,18})", re.IGNORECASE
)
CELL = re.compile(r"(?P<file>.+\.parquet)#(?P<group>\d{1,9})/(?P<row>\d{1,9}):(?P<column>\w{1,100})")
BLOCK = 2**20


class PackedAudioError(ValueError):
    """An archive does not have the audio that it was listed with."""


def of_tar(file: str, start: int, size: int) -> str:
    return f"{file}#{start}+{size}"


def of_zip(file: str, member: ZipMember) -> str:
    return f"{file}#{member.header}+{member.packed}:{member.size}"


def of_cell(file: str, group: int, row: int, column: str) -> str:
    return f"{file}#{group}/{row}:{column}"


def file_of(place: str) -> str:
    """The file of the folder in which the audio is: the audio itself, or the archive."""
    match = BYTES.fullmatch(place) or ZIPPED.fullmatch(place) or CELL.fullmatch(place)
    return match["file"] if match else place


def is_packed(place: str) -> bool:
    return file_of(place) != place


def copy_from_archive(archive: Path, place: str, target: Path) -> None:
    """Writes the audio of a clip to a file.

    Args:
        archive: the file of `file_of(place)`.

    Raises:
        PackedAudioError: the archive does not have it.
        NotThere: the cell of a table is empty.
        OSError: the archive cannot be read, or `target` cannot be written.
    """
    if match := BYTES.fullmatch(place):
        _copy_bytes(archive, int(match["start"]), int(match["size"]), target)
    elif match := ZIPPED.fullmatch(place):
        try:
            unpack(archive, int(match["header"]), int(match["packed"]), int(match["size"]), target)
        except ZipError as error:
            raise PackedAudioError(str(error)) from error
    elif match := CELL.fullmatch(place):
        stat = archive.stat()
        try:
            cells = _cells(archive, int(match["group"]), match["column"], (stat.st_size, stat.st_mtime_ns))
        except (pa.ArrowException, OSError, KeyError, IndexError) as error:
            raise PackedAudioError(f"{archive.name} has no audio there: {error}") from error
        row = int(match["row"])
        content = cells[row].as_py() if row < len(cells) else None
        if not content:
            raise NotThere(f"row {row} of {archive.name} has no audio")
        target.write_bytes(content)
    else:
        raise PackedAudioError(f"{place!r:.200} is not a place in an archive")


def _copy_bytes(archive: Path, start: int, size: int, target: Path) -> None:
    left = size
    with archive.open("rb") as file, target.open("wb") as copy:
        file.seek(start)
        while left and (block := file.read(min(BLOCK, left))):
            copy.write(block)
            left -= len(block)
    if left:
        raise PackedAudioError(f"{archive.name} is truncated: it ends {left:,} bytes too early")


# A row group is read as a whole, and its clips are fetched one after another.
@lru_cache(maxsize=2)
def _cells(archive: Path, group: int, column: str, version: tuple[int, int]) -> pa.ChunkedArray:
    """The audio of a row group: bytes, or the bytes of a struct, as Hugging Face `datasets` keeps them."""
    with pq.ParquetFile(archive) as file:
        kind = file.schema_arrow.field(column).type
        name = f"{column}.bytes" if pa.types.is_struct(kind) else column
        cells = file.read_row_group(group, columns=[name])[column]
    return (
        pa.chunked_array([part.field("bytes") for part in cells.chunks])
        if pa.types.is_struct(kind)
        else cells
    )
