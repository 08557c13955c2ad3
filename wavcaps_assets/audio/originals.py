"""Reads a clip's original file from the network, or from the user's own folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavcaps_assets.masking import masked_bytes
from wavcaps_assets.network.errors import NotThere, Unavailable
from wavcaps_assets.sources.base import Source
from wavcaps_assets.sources.folders import crc32_of
from wavcaps_assets.sources.packed_audio import copy_from_archive, file_of, is_packed

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network

# Some sites send an error page, or JSON, instead of audio, with status 200. It begins with one of these.
START_BYTES = 4096
MARKUP = (b"<", b"\xef\xbb\xbf<", b"{", b"[")


class NotAudio(ValueError):
    """The server sent a page of text instead of audio, or a file of the folder is one."""


class OutsideFolder(ValueError):
    """A file's path is outside the folder of clips."""


class WrongChecksum(ValueError):
    """A file of the folder of clips is not the one that its source lists."""


class UnreadableFile(ValueError):
    """The user who runs this may not read a file of the folder of clips."""


@dataclass(frozen=True)
class Origin:
    """How audio is fetched.

    Attributes:
        network: for sources whose audio is downloaded.
        partial: the folder of incomplete downloads.
    """

    network: Network
    partial: Path


@dataclass(frozen=True)
class Original:
    """A clip's original file."""

    path: Path
    bytes: int
    sha256: str


@contextmanager
def original(source: Source, clip: dict[str, Any], origin: Origin) -> Iterator[Original]:
    """Gives a clip's file for the duration of the context.

    Raises:
        NotThere: it does not exist.
        NotAudio: the server sent a page of text instead.
        OutsideFolder: its path is outside the source's folder.
        UnreadableFile: it may not be read.
        WrongChecksum: it is not the file that its source lists.
        PackedAudioError: its archive does not have it.
        NetworkError, Paused: it cannot be fetched.
    """
    # A `clip_id` has characters only that are safe in a path.
    path = origin.partial / source.name / clip["clip_id"]
    if source.folder is not None:
        if not (source.has_archives and is_packed(clip["audio_url"])):
            yield _local(source.folder, clip["audio_url"], clip["claimed_crc32"])
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield _unpacked(source.folder, clip["audio_url"], path)
        finally:
            path.unlink(missing_ok=True)
        return
    headers = source.audio_headers(origin.network)
    download = origin.network.download(clip["audio_url"], path, headers, clip["claimed_md5"])
    try:
        _require_audio(path)
        if source.exact_bytes and download.bytes < (clip["claimed_bytes"] or 0):
            raise Unavailable(
                f"{clip['audio_url']} has {download.bytes} bytes; its source lists {clip['claimed_bytes']}"
            )
        yield Original(path, download.bytes, download.sha256)
    finally:
        path.unlink(missing_ok=True)


def file_version(source: Source, name: str) -> list[int | None]:
    """Size (bytes) and modification time (ns) of a clip's file, or of its archive, in the source's folder.

    None where there is no such file.
    """
    assert source.folder is not None
    try:
        stat = (source.folder / (file_of(name) if source.has_archives else name)).stat()
    except (OSError, ValueError):
        return [None, None]
    return [stat.st_size, stat.st_mtime_ns]


def _local(folder: Path, name: str, crc32: str | None) -> Original:
    path = _inside(folder, name)
    try:
        _require_audio(path)
        if crc32 is not None:
            _require_checksum(path, name, crc32)
        return _whole(path)
    except OSError as error:
        raise UnreadableFile(f"{name!r:.200} cannot be read: {error.strerror}") from error


def _unpacked(folder: Path, place: str, target: Path) -> Original:
    archive = _inside(folder, file_of(place))
    try:
        archive.open("rb").close()
    except OSError as error:
        raise UnreadableFile(f"{place!r:.200} cannot be read: {error.strerror}") from error
    # Other errors are those of the disk that the copy is written to, and not of this clip.
    copy_from_archive(archive, place, target)
    _require_audio(target)
    return _whole(target)


def _inside(folder: Path, name: str) -> Path:
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise OutsideFolder(f"{name!r:.200} is not a file name: {error}") from error
    if not path.is_relative_to(root):
        raise OutsideFolder(f"{name!r:.200} is outside the folder of clips")
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise UnreadableFile(f"{name!r:.200} cannot be read: {error.strerror}") from error
    raise NotThere(f"no file {name!r:.200} in the folder of clips")


def _whole(path: Path) -> Original:
    with path.open("rb") as file:
        return Original(path, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _require_checksum(path: Path, name: str, crc32: str) -> None:
    found = crc32_of(path)
    if found != crc32:
        raise WrongChecksum(
            f"{name!r:.200} has the CRC-32 {found}; its source lists {crc32}: it is damaged, or of another "
            "release; get it again"
        )


def _require_audio(path: Path) -> None:
    with path.open("rb") as file:
        # Masked before it is cut, so that no part of a secret is left.
        start = masked_bytes(file.read(START_BYTES))
    if start.lstrip().startswith(MARKUP):
        raise NotAudio(f"this is a page of text and not audio; it starts with {start[:40]!r}")
