"""Where a clip's audio is read from: the network, or a folder of the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavcaps_assets.network.errors import NotThere
from wavcaps_assets.sources.base import Source

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network

# How the error pages begin that some sites send in place of audio, with status 200.
MARKUP = (b"<", b"\xef\xbb\xbf<")


class NotAudio(ValueError):
    """A page of text came in place of audio."""


class OutsideFolder(ValueError):
    """A file's name leads out of the folder of clips."""


class UnreadableFile(ValueError):
    """A file of the folder of clips cannot be read by who runs this."""


@dataclass(frozen=True)
class Origin:
    """How audio is reached.

    Attributes:
        network: for sources whose audio is downloaded.
        partial: the folder of downloads that are not whole yet.
    """

    network: Network
    partial: Path


@dataclass(frozen=True)
class Original:
    """A clip's file as its source has it."""

    path: Path
    bytes: int
    sha256: str


@contextmanager
def original(source: Source, clip: dict[str, Any], origin: Origin) -> Iterator[Original]:
    """Gives a clip's file, for as long as the context lasts.

    Raises:
        NotThere: there is none.
        NotAudio: a page of text came in its place.
        OutsideFolder: its name leads out of the source's folder.
        UnreadableFile: it may not be read.
        NetworkError, Paused: it cannot be fetched.
    """
    if source.folder is not None:
        yield _local(source.folder, clip["audio_url"])
        return
    # `clip_id` is made of safe characters only.
    path = origin.partial / source.name / clip["clip_id"]
    headers = source.audio_headers(origin.network)
    found = origin.network.download(clip["audio_url"], path, headers, clip["claimed_md5"])
    try:
        _require_audio(path)
        yield Original(path, found.bytes, found.sha256)
    finally:
        path.unlink(missing_ok=True)


def _local(folder: Path, name: str) -> Original:
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise OutsideFolder(f"{name!r:.200} is no file's name: {error}") from error
    if not path.is_relative_to(root):
        raise OutsideFolder(f"{name!r:.200} leads out of the folder of clips")
    try:
        if not path.is_file():
            raise NotThere(f"no file {name!r:.200} in the folder of clips")
        _require_audio(path)
        with path.open("rb") as file:
            return Original(path, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise UnreadableFile(f"{name!r:.200} cannot be read: {error.strerror}") from error


def _require_audio(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(64)
    if start.lstrip().startswith(MARKUP):
        raise NotAudio(f"a page of text came in place of audio, starting with {start[:40]!r}")
