"""WebDataset tars as a training manifest: where in which tar each clip's audio stands.

A tar holds for each clip a file of audio and one of its captions, under the same name but for the ending:
`KEY.flac` and `KEY.json` or `KEY.txt` (https://github.com/webdataset/webdataset). The tars are gone through
once; after that, a clip is read by its place, in whatever order an epoch has it.
"""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import soundfile

from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import TRAINING_MANIFEST

# A member of a tar: the tar's path, where the member's content starts and how long it is (bytes).
MEMBER = re.compile(r"(?P<tar>.+\.tar)#(?P<start>\d{1,18})\+(?P<size>\d{1,18})")
AUDIO_ENDINGS = frozenset({".flac", ".wav", ".ogg", ".mp3", ".opus"})
# A record with captions is a few hundred bytes long.
MOST_TEXT_BYTES = 1_000_000


def member_path(tar: str, start: int, size: int) -> str:
    """The audio path of a member of a tar."""
    return f"{tar}#{start}+{size}"


class TarError(ValueError):
    """A tar does not hold clips as WebDataset has them."""


def tar_manifest(store: Store, tars: Sequence[str], split: str, source: str) -> pa.Table:
    """The clips of tars, as a training manifest.

    A JSON record has `caption` (a text), or `captions` or `text` (texts, or one), and may have `duration`
    (s). Without a duration the audio says it.

    Args:
        store: the folder or bucket that holds the tars.
        tars: their paths in it.
        split: `train`, `validation` or `test`.
        source: what the clips' source is called.

    Returns:
        `tables.TRAINING_MANIFEST`; the recording is the clip's own key.

    Raises:
        TarError: names the tar and the member.
        StoreError: a tar cannot be read.
    """
    rows = [row for tar in tars for row in _rows(store, tar, split, source)]
    return TRAINING_MANIFEST.check(TRAINING_MANIFEST.from_rows(rows))


def _rows(store: Store, tar: str, split: str, source: str) -> Iterator[dict[str, Any]]:
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    with store.reading(tar) as path:
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    if member.isdir():
                        continue
                    name = PurePosixPath(member.name)
                    plain = member.isreg() and not member.issparse() and member.size >= 0
                    if not plain or name.is_absolute() or ".." in name.parts:
                        raise TarError(f"{tar}: {member.name!r} is no plain file inside the tar")
                    key = name.name.partition(".")[0]
                    ending = name.name[len(key) :].lower()
                    members = found.setdefault(str(name.parent / key), {})
                    if ending in members:
                        raise TarError(f"{tar}: {member.name!r} is there twice")
                    members[ending] = member
                end = archive.offset
        except tarfile.TarError as error:
            raise TarError(f"{tar} is no uncompressed tar, or it is cut short ({error})") from error
        with path.open("rb") as file:
            _check_end(tar, file, end)
            for key, members in found.items():
                audio = next((members[ending] for ending in members if ending in AUDIO_ENDINGS), None)
                if audio is None:
                    raise TarError(f"{tar}: {key!r} has no audio ({', '.join(sorted(AUDIO_ENDINGS))})")
                said = _said(tar, key, members, file)
                captions = said["captions"]
                yield {
                    "clip_id": f"{source}-{key.replace('/', '-')}",
                    "source": source,
                    "caption": captions[0],
                    "other_captions": captions[1:],
                    "audio_path": member_path(tar, audio.offset_data, audio.size),
                    "duration_s": said["duration"] or _duration(tar, audio, file),
                    "recording": f"{source}-{key}",
                    "split": split,
                }


def _check_end(tar: str, file: io.BufferedReader, end: int) -> None:
    """Python takes whatever is no member for the end of a tar; what ends it is a block of zeros."""
    file.seek(end)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise TarError(f"{tar} is damaged or cut short: after {end:,} bytes there is neither member nor end")


def _said(tar: str, key: str, members: dict[str, tarfile.TarInfo], file: io.BufferedReader) -> dict[str, Any]:
    """The captions of a clip, and its duration (s) where it is told."""
    member = members.get(".json") or members.get(".txt")
    if member is None:
        raise TarError(f"{tar}: {key!r} has no captions: neither .json nor .txt")
    if member.size > MOST_TEXT_BYTES:
        raise TarError(f"{tar}: {member.name!r} is {member.size:,} bytes long, too long for captions")
    try:
        text = _content(member, file).decode("utf-8")
        record = json.loads(text) if member is members.get(".json") else {"caption": text.strip()}
    except (ValueError, RecursionError) as error:
        raise TarError(f"{tar}: {member.name!r} cannot be read: {error}") from error
    asked = record if isinstance(record, dict) else {}
    captions = asked.get("caption") or asked.get("captions") or asked.get("text")
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not captions or not all(isinstance(c, str) and c for c in captions):
        raise TarError(f"{tar}: {member.name!r} has no caption, captions or text")
    duration: Any = asked.get("duration")
    # JSON's true is a number to Python.
    told = isinstance(duration, int | float) and not isinstance(duration, bool)
    usable = told and math.isfinite(duration) and duration > 0
    return {"captions": captions, "duration": duration if usable else None}


def _content(member: tarfile.TarInfo, file: io.BufferedReader) -> bytes:
    file.seek(member.offset_data)
    return file.read(member.size)


def _duration(tar: str, member: tarfile.TarInfo, file: io.BufferedReader) -> float:
    try:
        return float(soundfile.info(io.BytesIO(_content(member, file))).duration)
    except soundfile.LibsndfileError as error:
        raise TarError(f"{tar}: {member.name!r} is no audio ({error})") from error
