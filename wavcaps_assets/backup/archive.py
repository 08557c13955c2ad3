"""The file of a backup: a tar that is compressed with zstd, written and read as a stream."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
from pydantic import ValidationError

from wavcaps_assets.backup.layout import (
    ABOUT,
    COMPLETE,
    LAYOUT,
    About,
    BackupError,
    Complete,
    DamagedBackup,
    Member,
    Size,
)
from wavcaps_assets.store.storage import StoreError

CODEC = "zstd"
BLOCK = 1 << 20
# about.json has some lines.
LONGEST_ABOUT = 1 << 20


class ArchiveWriter:
    """Adds files to a backup.

    Args:
        folder: for temporary files. The system's own folder for them may be small, as in a container.
    """

    def __init__(self, tar: tarfile.TarFile, folder: Path) -> None:
        self._tar = tar
        self.folder = folder
        self._number = 0
        self.files: dict[str, Member] = {}

    def add(self, name: str, source: BinaryIO, size: int) -> None:
        """Adds the next `size` bytes of a source. A member of the same name counts no longer."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        hashing = _Hashing(source, size)
        self._tar.addfile(member, cast(Any, hashing))
        self.files[name] = Member(number=self._number, size=size, sha256=hashing.sha256.hexdigest())
        self._number += 1

    def add_bytes(self, name: str, data: bytes) -> None:
        self.add(name, io.BytesIO(data), len(data))

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as source:
            self.add(name, source, os.fstat(source.fileno()).st_size)

    def discard(self, name: str) -> None:
        """Makes a member that was added not count."""
        self.files.pop(name, None)


class _Hashing:
    """Reads a source, and computes the SHA-256 of what was read."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source = source
        self._left = size
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        self.sha256.update(data)
        return data


@contextmanager
def writing_archive(path: Path, about: About, left_out: Mapping[str, Size]) -> Iterator[ArchiveWriter]:
    """Writes a backup, which has its name only once it is complete, and which only its owner can read.

    Args:
        left_out: read at the end.

    Raises:
        BackupError: there is a file of this name, or no space.
    """
    if path.exists():
        raise BackupError(f"{path} exists already: choose another name for the backup")
    if not path.parent.is_dir():
        raise BackupError(f"there is no folder {path.parent} for the backup")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise BackupError(f"cannot write to {path.parent}: {error.strerror}") from error
    try:
        with (
            pa.CompressedOutputStream(temporary, CODEC) as stream,
            tarfile.open(fileobj=cast(Any, stream), mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            writer = ArchiveWriter(tar, path.parent)
            writer.add_bytes(ABOUT, about.model_dump_json(indent=1).encode())
            yield writer
            complete = Complete(files=writer.files, left_out=left_out)
            writer.add_bytes(COMPLETE, complete.model_dump_json().encode())
        with Path(temporary).open("rb") as written:
            os.fsync(written.fileno())
        Path(temporary).replace(path)
    except StoreError:
        raise
    except OSError as error:
        raise BackupError(
            f"cannot write {path}: {error}; free some space, or choose another place"
        ) from error
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


class Archive:
    """A backup that was read to its end once, and whose checksums are right.

    Attributes:
        about: its description.
        complete: its files.
    """

    def __init__(self, path: Path) -> None:
        """Reads the whole file.

        Raises:
            DamagedBackup: it is no backup, is truncated or changed.
            BackupError: there is no such file, or a newer version wrote it.
        """
        self._path = path
        self.about, self.complete = self._verified()

    def members(self) -> Iterator[tuple[str, int, BinaryIO]]:
        """The name, the size (bytes) and the content of each file, in the order of the backup.

        Read the content before the next one.
        """
        wanted = {member.number: name for name, member in self.complete.files.items()}
        for number, name, size, content in self._all():
            if wanted.get(number) == name and name not in (ABOUT, COMPLETE):
                yield name, size, content

    def _verified(self) -> tuple[About, Complete]:
        about: About | None = None
        complete: Complete | None = None
        found: dict[int, tuple[str, Member]] = {}
        for number, name, size, content in self._all():
            if complete is not None:
                raise DamagedBackup(f"{self._path} goes on behind its end: it was changed")
            if number == 0:
                about = self._about(name, size, content)
            elif name == COMPLETE:
                complete = self._complete(content.read())
            else:
                sha256 = hashlib.sha256()
                while block := content.read(BLOCK):
                    sha256.update(block)
                found[number] = name, Member(number=number, size=size, sha256=sha256.hexdigest())
        if about is None or complete is None:
            raise DamagedBackup(f"{self._path} was not written to its end, or is truncated")
        for name, member in complete.files.items():
            if name != ABOUT and found.get(member.number) != (name, member):
                raise DamagedBackup(f"{self._path} is damaged: {name} is not what was written")
        return about, complete

    def _about(self, name: str, size: int, content: BinaryIO) -> About:
        wrong = DamagedBackup(f"{self._path} is no backup of `wavcaps backup`")
        if name != ABOUT or size > LONGEST_ABOUT:
            raise wrong
        try:
            about = About.model_validate_json(content.read())
        except ValidationError:
            raise wrong from None
        if about.layout > LAYOUT:
            raise BackupError(f"{self._path} is of a newer version of the project, {about.version}: use that")
        return about

    def _complete(self, data: bytes) -> Complete:
        try:
            return Complete.model_validate_json(data)
        except ValidationError:
            raise DamagedBackup(f"{self._path} is damaged: its {COMPLETE} cannot be read") from None

    def _all(self) -> Iterator[tuple[int, str, int, BinaryIO]]:
        try:
            with (
                pa.CompressedInputStream(str(self._path), CODEC) as stream,
                tarfile.open(fileobj=cast(Any, stream), mode="r|") as tar,
            ):
                for number, member in enumerate(tar):
                    # Refuses what leaves the folder, links and devices.
                    tarfile.data_filter(member, "/nowhere")
                    content = tar.extractfile(member) if member.isreg() else None
                    if content is None:
                        raise DamagedBackup(f"{self._path} has {member.name!r}, which is not a file")
                    yield number, member.name, member.size, cast(BinaryIO, content)
        except FileNotFoundError:
            raise BackupError(f"there is no file {self._path}") from None
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DamagedBackup(f"{self._path} cannot be read as a backup: {error}") from error
