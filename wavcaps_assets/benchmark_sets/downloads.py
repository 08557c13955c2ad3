"""Downloads the files of a benchmark that are published with a checksum, and unpacks archives.

A file is accepted only with its checksum. An interrupted download is resumed, and files that are in the store
already, of an archive too, are not written again.
"""

from __future__ import annotations

import logging
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.network.client import Network
from wavcaps_assets.store.storage import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedFile:
    """A file of a benchmark, as its publisher offers it.

    Attributes:
        url: its address.
        md5: its checksum, as its publisher states it, in hexadecimal digits.
        bytes: no file of it is larger.
    """

    url: str
    md5: str
    bytes: int = 2**30

    @property
    def name(self) -> str:
        return PurePosixPath(self.url.partition("?")[0]).name

    @property
    def is_archive(self) -> bool:
        return self.name.endswith((".zip", ".tar.gz"))


def download_published(
    files: Sequence[PublishedFile], store: Store, folder: str, network: Network, scratch: Path
) -> list[str]:
    """Downloads those files that are not in a folder of the store.

    Args:
        files: the files. Of an archive, its content goes into the folder.
        folder: the benchmark's folder in the store.
        scratch: a folder of this machine for downloads in progress, the same in the next run.

    Returns:
        The names of the files that were downloaded.

    Raises:
        NetworkError, Paused: a file cannot be downloaded, or does not have its checksum.
        SetError: an archive has a file that leaves the folder, or is damaged.
        StoreError: the store has no space.
    """
    downloaded = []
    for file in files:
        # Of an archive, only the whole of its content says that it is there.
        mark = f"{folder}/{file.name}.unpacked" if file.is_archive else f"{folder}/{file.name}"
        if store.exists(mark):
            continue
        target = scratch / f"{file.md5}-{file.name}"
        if not target.exists():
            log.info("Downloading %s", file.name)
            network.download(file.url, target, md5=file.md5, most_bytes=file.bytes)
        if file.is_archive:
            _unpack(target, store, folder)
            store.write_bytes(mark, b"")
        else:
            with store.writing(mark) as path:
                shutil.copyfile(target, path)
        target.unlink()
        downloaded.append(file.name)
    return downloaded


def _unpack(archive: Path, store: Store, folder: str) -> None:
    there: dict[str, dict[str, int]] = {}
    try:
        for name, size, content in _members(archive):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise SetError(f"{archive.name} has the file {name!r}, which is not inside the archive")
            parent = str(PurePosixPath(folder) / path.parent)
            sizes = there.setdefault(parent, store.sizes(parent))
            if sizes.get(path.name) == size or path.name.startswith("."):
                continue
            with store.writing(f"{parent}/{path.name}") as target, target.open("wb") as file:
                shutil.copyfileobj(content, file)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise SetError(f"{archive.name} cannot be unpacked: {error}") from error


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """The regular files of an archive: name, size (bytes) and content."""
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    with packed.open(entry) as content:
                        yield entry.filename, entry.file_size, content
        return
    with tarfile.open(archive, "r|gz") as packed_tar:
        for member in packed_tar:
            opened = packed_tar.extractfile(member) if member.isreg() else None
            if opened is not None:
                yield member.name, member.size, opened
