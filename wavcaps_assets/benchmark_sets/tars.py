"""WebDataset tars as a training manifest: the position of each clip's audio in its tar.

For each clip, a tar contains an audio file and a file of captions, with the same name and another suffix:
`KEY.flac` and `KEY.json` or `KEY.txt` (https://github.com/webdataset/webdataset). The tars are scanned
once. After that, a clip is read by its position, in any order.
"""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import soundfile

from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import TRAINING_MANIFEST

# A member of a tar: the tar's path, and the start and the size of the member's content (bytes).
MEMBER = re.compile(r"(?P<tar>.+\.tar)#(?P<start>\d{1,18})\+(?P<size>\d{1,18})")
AUDIO_ENDINGS = frozenset({".flac", ".wav", ".ogg", ".mp3", ".opus"})
# A record with captions has a few hundred bytes.
MAX_TEXT_BYTES = 1_000_000
ROWS_AT_ONCE = 10_000
BYTES_AT_ONCE = 2**16
# Tools pad a tar to records of 10 kB, and to some hundred kB on tapes.
MOST_PADDING = 2**20


def member_path(tar: str, start: int, size: int) -> str:
    """The audio path of a member of a tar."""
    return f"{tar}#{start}+{size}"


class TarError(ValueError):
    """A tar does not contain clips in the format of WebDataset."""


def tar_manifest(store: Store, tars: Sequence[str], split: str, source: str) -> pa.Table:
    """The clips of tars, as a training manifest.

    A JSON record has `caption` (a text), or `captions` or `text` (a text, or a list of texts), and may have
    `duration` (s). Without it, the duration is read from the audio.

    Args:
        store: the folder or bucket with the tars.
        tars: their paths in it.
        split: `train`, `validation` or `test`.
        source: the name of the clips' source.

    Returns:
        `tables.TRAINING_MANIFEST`; the recording is the clip's own key.

    Raises:
        TarError: names the tar and the member.
        StoreError: a tar cannot be read.
    """
    rows = (row for tar in tars for row in _rows(store, tar, split, source))
    # Of a million clips, only some thousands are Python objects at any time.
    pieces = iter(lambda: list(islice(rows, ROWS_AT_ONCE)), [])
    tables = [TRAINING_MANIFEST.from_rows(piece) for piece in pieces]
    return TRAINING_MANIFEST.check(pa.concat_tables([TRAINING_MANIFEST.empty(), *tables]))


def tar_keys(store: Store, tars: Sequence[str]) -> Iterator[str]:
    """The keys of the clips of tars, as in the clips' ids. Only the headers of the members are read.

    Raises:
        TarError: names the tar and the member.
        StoreError: a tar cannot be read.
    """
    for tar in tars:
        with store.reading(tar) as path:
            yield from (_in_id(key) for key in tar_members(tar, path))


def _in_id(key: str) -> str:
    return key.replace("/", "-")


def tar_members(tar: str, path: Path) -> dict[str, dict[str, tarfile.TarInfo]]:
    """The members of a tar by their key and ending.

    Raises:
        TarError: names the tar, and the member; also if the tar is incomplete.
    """
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                name = PurePosixPath(member.name)
                plain = member.isreg() and not member.issparse() and member.size >= 0
                if not plain or name.is_absolute() or ".." in name.parts:
                    raise TarError(f"{tar}: {member.name!r} is not a plain file inside the tar")
                key = name.name.partition(".")[0]
                ending = name.name[len(key) :].lower()
                members = found.setdefault(str(name.parent / key), {})
                if ending in members:
                    raise TarError(f"{tar}: the tar contains {member.name!r} twice")
                members[ending] = member
            _check_end(tar, file, archive.offset)
    except tarfile.TarError as error:
        raise TarError(f"{tar} is not an uncompressed tar, or it is truncated ({error})") from error
    return found


def _rows(store: Store, tar: str, split: str, source: str) -> Iterator[dict[str, Any]]:
    with store.reading(tar) as path:
        found = tar_members(tar, path)
        with path.open("rb") as file:
            for key, members in found.items():
                audio = next((members[ending] for ending in members if ending in AUDIO_ENDINGS), None)
                if audio is None:
                    raise TarError(f"{tar}: {key!r} has no audio ({', '.join(sorted(AUDIO_ENDINGS))})")
                captions, duration = _read_record(tar, key, members, file)
                yield {
                    "clip_id": f"{source}-{_in_id(key)}",
                    "source": source,
                    "caption": captions[0],
                    "other_captions": captions[1:],
                    "audio_path": member_path(tar, audio.offset_data, audio.size),
                    "duration_s": duration or _duration(tar, audio, file),
                    "recording": f"{source}-{key}",
                    "split": split,
                }


def _check_end(tar: str, file: io.BufferedReader, end: int) -> None:
    """A tar ends with a block of zeros, and has nothing behind it but padding.

    Python also accepts any damaged member as the end, and zeros where a download has no bytes yet.
    """
    file.seek(end)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise TarError(
            f"{tar} is damaged or truncated: {end:,} bytes are followed by neither a member nor the end"
        )
    padding = 0
    while block := file.read(BYTES_AT_ONCE):
        padding += len(block)
        if padding > MOST_PADDING or block.count(0) < len(block):
            raise TarError(
                f"{tar} goes on behind its end at {end:,} bytes: it is a download with a hole, or several "
                "tars that were joined. Download it again, or unpack it and pack it again"
            )


def _read_record(
    tar: str, key: str, members: dict[str, tarfile.TarInfo], file: io.BufferedReader
) -> tuple[list[str], float | None]:
    """The captions of a clip, and its duration (s) if the record has one."""
    member = members.get(".json") or members.get(".txt")
    if member is None:
        raise TarError(f"{tar}: {key!r} has no captions: neither .json nor .txt")
    if member.size > MAX_TEXT_BYTES:
        raise TarError(f"{tar}: {member.name!r} has {member.size:,} bytes, too many for captions")
    try:
        text = _content(member, file).decode("utf-8")
        record = json.loads(text) if member is members.get(".json") else {"caption": text.strip()}
    except (ValueError, RecursionError) as error:
        raise TarError(f"{tar}: {member.name!r} cannot be read: {error}") from error
    fields = record if isinstance(record, dict) else {}
    captions = fields.get("caption") or fields.get("captions") or fields.get("text")
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not captions or not all(isinstance(c, str) and c for c in captions):
        raise TarError(f"{tar}: {member.name!r} has no caption, captions or text")
    duration: Any = fields.get("duration")
    # In Python, JSON's true is a number.
    is_number = isinstance(duration, int | float) and not isinstance(duration, bool)
    usable = is_number and math.isfinite(duration) and duration > 0
    return captions, float(duration) if usable else None


def _content(member: tarfile.TarInfo, file: io.BufferedReader) -> bytes:
    file.seek(member.offset_data)
    return file.read(member.size)


def _duration(tar: str, member: tarfile.TarInfo, file: io.BufferedReader) -> float:
    try:
        return float(soundfile.info(io.BytesIO(_content(member, file))).duration)
    except soundfile.LibsndfileError as error:
        raise TarError(f"{tar}: {member.name!r} is not audio ({error})") from error
