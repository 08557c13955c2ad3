"""Where tables, audio and checkpoints live: a folder, or a bucket of S3.

What stands in a store is complete: a file is written under a temporary name, or on this machine,
and takes its place when it is whole, so that a killed run leaves nothing half-written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.store.errors import MissingFile, StoreError
from wavcaps_assets.store.folder import Folder
from wavcaps_assets.store.schema import TableSchema

__all__ = ["MissingFile", "Store", "StoreError", "open_store"]

BUCKET_SCHEME = "s3://"


class Backend(Protocol):
    """What a folder and a bucket can both do. Paths are relative and have been checked."""

    def describe(self, relative: str) -> str: ...

    def exists(self, relative: str) -> bool: ...

    def sizes(self, folder: str) -> dict[str, int]: ...

    def usage(self) -> dict[str, tuple[int, int]]: ...

    def reading(self, relative: str) -> AbstractContextManager[Path]: ...

    def writing(self, relative: str) -> AbstractContextManager[Path]: ...

    def read_bytes(self, relative: str) -> bytes: ...

    def read_span(self, relative: str, start: int, size: int) -> bytes: ...

    def write_bytes(self, relative: str, data: bytes) -> None: ...

    def remove(self, relative: str) -> None: ...

    def remove_files(self, relatives: Sequence[str]) -> None: ...

    def sweep(self, folder: str) -> None: ...


class Store:
    """Tables and files, addressed by relative paths with forward slashes.

    Every method raises `StoreError` for a path that leaves the store, and where the folder or the
    bucket cannot be read or written. Threads may share a store.

    Args:
        root: a folder, or `s3://bucket/prefix`.
        client: boto3's client for S3, for a bucket; None: one for Amazon's S3.
    """

    def __init__(self, root: Path | str, client: Any = None) -> None:
        self._backend = _backend(root, client)

    @property
    def is_folder(self) -> bool:
        return isinstance(self._backend, Folder)

    @property
    def root(self) -> Path:
        """The folder.

        Raises:
            StoreError: the store is a bucket.
        """
        if not isinstance(self._backend, Folder):
            raise StoreError(
                f"{self._backend.describe('')} is a bucket, and this step needs files in a folder: copy it, "
                "as with `aws s3 sync`, and set WAVCAPS_STORE to the copy"
            )
        return self._backend.root

    def path(self, relative: str) -> Path:
        """The absolute path of something in the store, be it there or not.

        Raises:
            StoreError: the store is a bucket, or the path leaves it.
        """
        return self.root / self._inside(relative)

    def describe(self, relative: str) -> str:
        """Where something is, for people: its absolute path, or its `s3://` address."""
        return self._backend.describe(self._inside(relative))

    def exists(self, relative: str) -> bool:
        """Whether there is such a file. To ask for many, `sizes` is the quicker."""
        return self._backend.exists(self._inside(relative))

    def sizes(self, folder: str) -> dict[str, int]:
        """The files directly in a folder, by name, with their bytes. Hidden ones are left out."""
        return self._backend.sizes(self._inside(folder))

    def usage(self) -> dict[str, tuple[int, int]]:
        """The folders at the top, by name: how many files are under each, and their bytes."""
        return self._backend.usage()

    def reading(self, relative: str) -> AbstractContextManager[Path]:
        """Gives a path on this machine to read from, which may be a copy that goes with the context.

        Raises:
            MissingFile: there is no such file.
        """
        return self._backend.reading(self._inside(relative))

    def writing(self, relative: str) -> AbstractContextManager[Path]:
        """Gives a temporary path to write to; on success it becomes `relative` in one step.

        Raises:
            StoreError: there is no room, or no right to write.
        """
        return self._backend.writing(self._inside(relative))

    def read_bytes(self, relative: str) -> bytes:
        """A small file's content.

        Raises:
            MissingFile: there is no such file.
        """
        return self._backend.read_bytes(self._inside(relative))

    def read_span(self, relative: str, start: int, size: int) -> bytes:
        """Some bytes of a file, and no others; fewer than asked for where it ends before.

        Args:
            start: the first of them, from 0.
            size: how many.
        """
        return self._backend.read_span(self._inside(relative), start, size)

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Writes a small file in one step, and to the disk before it returns."""
        self._backend.write_bytes(self._inside(relative), data)

    def remove(self, relative: str) -> None:
        """Removes a file, or everything under a folder. What is not there need not be removed."""
        self._backend.remove(self._inside(relative))

    def remove_files(self, relatives: Sequence[str]) -> None:
        """Removes many files, in few requests."""
        self._backend.remove_files([self._inside(relative) for relative in relatives])

    def sweep(self, folder: str) -> None:
        """Removes what killed processes left half-written in a folder, while nobody else writes there."""
        self._backend.sweep(self._inside(folder))

    def write_table(
        self, relative: str, table: pa.Table, schema: TableSchema, about: Mapping[str, str] | None = None
    ) -> int:
        """Checks a table against its schema and writes it as Parquet. Returns its size in bytes.

        Args:
            about: what is written beside the columns, in the same file.
        """
        checked = schema.check(table).replace_schema_metadata(about)
        with self.writing(relative) as path:
            pq.write_table(checked, path, compression="zstd")
            return path.stat().st_size

    def read_table(self, relative: str) -> pa.Table:
        """Reads a Parquet table.

        Raises:
            StoreError: there is none.
        """
        with self.opening_table(relative) as file:
            return file.read()

    @contextmanager
    def opening_table(self, relative: str) -> Iterator[pq.ParquetFile]:
        """Gives a Parquet table of which nothing but its columns' names and types has been read yet.

        Raises:
            StoreError: there is none.
        """
        try:
            with self.reading(relative) as path, pq.ParquetFile(path) as file:
                yield file
        except MissingFile as error:
            raise MissingFile(
                f"no table {self.describe(relative)}: has its asset been materialized?"
            ) from error

    def _inside(self, relative: str) -> str:
        if not _is_plain(relative):
            raise StoreError(f"{relative!r} is no path inside the store {self._backend.describe('')}")
        return relative


def open_store(root: Path | str, endpoint_url: str | None = None, region: str | None = None) -> Store:
    """The store at a folder or an `s3://bucket/prefix`. Credentials are those that boto3 finds.

    Args:
        root: a folder, or `s3://bucket/prefix`.
        endpoint_url: root of the S3 server; None: Amazon's.
        region: of the bucket; None: as AWS's own settings say.

    Raises:
        StoreError: no store can stand there.
    """
    if not is_bucket(root):
        return Store(root)
    from wavcaps_assets.store.bucket import connect

    return Store(root, connect(endpoint_url, region))


def is_bucket(root: Path | str) -> bool:
    return isinstance(root, str) and root.startswith(BUCKET_SCHEME)


def _backend(root: Path | str, client: Any) -> Backend:
    if isinstance(root, str) and is_bucket(root):
        from wavcaps_assets.store.bucket import Bucket, connect

        name, _, prefix = root.removeprefix(BUCKET_SCHEME).partition("/")
        prefix = prefix.strip("/")
        if prefix and not _is_plain(prefix):
            raise StoreError(f"{prefix!r} in WAVCAPS_STORE is no prefix of a bucket's keys")
        return Bucket(name, prefix, client or connect())
    # A `Path` of an address has lost a slash.
    if scheme := re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", str(root)):
        raise StoreError(
            f"WAVCAPS_STORE starts with {scheme[0]!r}: a store is a folder or s3://bucket/prefix"
        )
    return Folder(Path(root))


def _is_plain(relative: str) -> bool:
    """Whether a path stays where it is put, and means the same to a file system and to S3."""
    return (
        not PurePosixPath(relative).is_absolute()
        and {"", ".", ".."}.isdisjoint(relative.split("/"))
        and "\\" not in relative
        and not any(unicodedata.category(character) in {"Cc", "Cs"} for character in relative)
    )
