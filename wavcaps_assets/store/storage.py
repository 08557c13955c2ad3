"""The store of tables, audio and checkpoints: a folder or an S3 bucket.

Files in a store are complete. A file is written under a temporary name, or on this machine, and moved
into place when it is complete, so that a killed run leaves no partial file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.store.bucket import Bucket
from wavcaps_assets.store.bucket_requests import connect
from wavcaps_assets.store.dictionaries import repeating
from wavcaps_assets.store.errors import DamagedTable, MissingFile, OutsideStore, StoreError
from wavcaps_assets.store.folder import Folder
from wavcaps_assets.store.migration import SCHEMA_VERSION
from wavcaps_assets.store.outages import Outages
from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.store.stored_file import StoredFile, usage_of

__all__ = ["DamagedTable", "MissingFile", "OutsideStore", "Store", "StoreError", "StoredFile", "open_store"]

BUCKET_SCHEME = "s3://"


class Backend(Protocol):
    """The operations of a folder and of a bucket. Paths are relative and already checked."""

    def describe(self, relative: str) -> str: ...

    def exists(self, relative: str) -> bool: ...

    def size(self, relative: str) -> int: ...

    def names(self, folder: str) -> list[str]: ...

    def sizes(self, folder: str) -> dict[str, int]: ...

    def files(self, folder: str) -> Iterator[StoredFile]: ...

    def reading(self, relative: str) -> AbstractContextManager[Path]: ...

    def writing(self, relative: str) -> AbstractContextManager[Path]: ...

    def read_bytes(self, relative: str) -> bytes: ...

    def read_span(self, relative: str, start: int, size: int) -> bytes: ...

    def write_bytes(self, relative: str, data: bytes) -> None: ...

    def create(self, relative: str, data: bytes) -> bool: ...

    def hidden(self, folder: str, start: str) -> dict[str, float]: ...

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
        waits: whether requests wait for a bucket's server that does not answer, for `outages.OUTAGE_S`.

    Attributes:
        outages: of the bucket's server.
    """

    def __init__(self, root: Path | str, client: Any = None, waits: bool = False) -> None:
        self._backend = _backend(root, client, waits)
        backend = self._backend
        self.outages = backend.outages if isinstance(backend, Bucket) else Outages(waits=False)

    def without_waiting(self) -> Store:
        """The same store, whose requests fail at once while a bucket's server does not answer."""
        if not isinstance(self._backend, Bucket):
            return self
        same = copy(self)
        same._backend = self._backend.without_waiting()
        same.outages = same._backend.outages
        return same

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
                "for example with `aws s3 sync`, and set WAVCAPS_STORE to the copy"
            )
        return self._backend.root

    def path(self, relative: str) -> Path:
        """The absolute path of a file in the store, whether or not it exists.

        Raises:
            StoreError: the store is a bucket, or the path leaves it.
        """
        return self.root / self._inside(relative)

    def describe(self, relative: str) -> str:
        """A file's absolute path or `s3://` address, for messages."""
        return self._backend.describe(self._inside(relative))

    def describe_root(self) -> str:
        """The store's absolute path or `s3://` address, for messages."""
        return self._backend.describe("").rstrip("/")

    def exists(self, relative: str) -> bool:
        """Whether the file exists. For many files, `sizes` is faster."""
        return self._backend.exists(self._inside(relative))

    def size(self, relative: str) -> int:
        """The size of a file (bytes). For many files, `sizes` is faster.

        Raises:
            MissingFile: the file does not exist.
        """
        return self._backend.size(self._inside(relative))

    def names(self, folder: str) -> list[str]:
        """The names of the files directly in a folder, without hidden files: faster than their sizes."""
        return self._backend.names(self._inside(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        """Sizes (bytes) of the files directly in a folder, by name, without hidden files."""
        return self._backend.sizes(self._inside(folder))

    def usage(self) -> dict[str, tuple[int, int]]:
        """The top-level folders, by name: number of files under each, and their total size (bytes)."""
        return usage_of(self.files())

    def files(self, folder: str = "") -> Iterator[StoredFile]:
        """All files of the store, or of a folder of it, in any order, without hidden files."""
        return self._backend.files(self._inside(folder) if folder else "")

    def reading(self, relative: str) -> AbstractContextManager[Path]:
        """Gives a path on this machine to read from. It may be a copy that is removed with the context.

        Raises:
            MissingFile: the file does not exist.
        """
        return self._backend.reading(self._inside(relative))

    def writing(self, relative: str) -> AbstractContextManager[Path]:
        """Gives a temporary path to write to; on success it becomes `relative` in one step.

        Raises:
            StoreError: there is no space, or no permission to write.
        """
        return self._backend.writing(self._inside(relative))

    def read_bytes(self, relative: str) -> bytes:
        """The content of a small file.

        Raises:
            MissingFile: the file does not exist.
        """
        return self._backend.read_bytes(self._inside(relative))

    def read_span(self, relative: str, start: int, size: int) -> bytes:
        """Reads a range of a file; fewer bytes than requested where the file ends first.

        Args:
            start: offset of the first byte.
            size: number of bytes.
        """
        return self._backend.read_span(self._inside(relative), start, size)

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Writes a small file in one step; it is on disk when this returns."""
        self._backend.write_bytes(self._inside(relative), data)

    def create(self, relative: str, data: bytes) -> bool:
        """Writes a small file in one step if it does not exist. Of several machines, one succeeds.

        A bucket's server must know conditional writes (`machines.has_conditional_writes`).

        Returns:
            Whether it did. False as well where only the response of the server was lost.
        """
        return self._backend.create(self._inside(relative), data)

    def hidden(self, folder: str, start: str) -> dict[str, float]:
        """The hidden files directly in a folder whose names start with `start`, which begins with a dot.

        Returns:
            By name, when each was written (s since 1970), by the clock of the bucket's server.
        """
        return self._backend.hidden(self._inside(folder), start)

    def remove(self, relative: str) -> None:
        """Removes a file, or everything under a folder. A missing file is not an error."""
        self._backend.remove(self._inside(relative))

    def remove_files(self, relatives: Sequence[str]) -> None:
        """Removes many files, in few requests."""
        self._backend.remove_files([self._inside(relative) for relative in relatives])

    def sweep(self, folder: str) -> None:
        """Removes partial files of killed processes from a folder. Nobody else may be writing there."""
        self._backend.sweep(self._inside(folder))

    def write_table(
        self, relative: str, table: pa.Table, schema: TableSchema, about: Mapping[str, str] | None = None
    ) -> int:
        """Checks a table against its schema and writes it as Parquet. Returns its size in bytes.

        Args:
            about: key-value metadata of the Parquet file. The version of the schema is added to it.
        """
        version = {SCHEMA_VERSION: str(schema.version)}
        checked = schema.check(table).replace_schema_metadata({**(about or {}), **version})
        with self.writing(relative) as path:
            pq.write_table(checked, path, compression="zstd", use_dictionary=repeating(checked))
            return path.stat().st_size

    def read_table(self, relative: str) -> pa.Table:
        """Reads a Parquet table as it is: `TableStore` reads the tables of older versions too.

        Raises:
            StoreError: it does not exist.
        """
        with self.opening_table(relative) as file:
            return file.read()

    @contextmanager
    def opening_table(self, relative: str) -> Iterator[pq.ParquetFile]:
        """Gives an open Parquet table, of which only the schema has been read.

        Raises:
            MissingFile: it does not exist.
            DamagedTable: it is not Parquet, or was not written to its end.
        """
        try:
            with self.reading(relative) as path, pq.ParquetFile(path) as file:
                yield file
        except MissingFile as error:
            raise MissingFile(
                f"no table {self.describe(relative)}: has its asset been materialized?"
            ) from error
        except pa.ArrowInvalid as error:
            raise DamagedTable(
                f"the table {self.describe(relative)} is damaged ({error}): materialize its asset again"
            ) from error

    def _inside(self, relative: str) -> str:
        if not _is_plain(relative):
            raise OutsideStore(f"{relative!r} is not a path inside the store {self._backend.describe('')}")
        return relative


def open_store(
    root: Path | str, endpoint_url: str | None = None, region: str | None = None, waits: bool = False
) -> Store:
    """Opens the store in a folder or at `s3://bucket/prefix`, with the credentials that boto3 finds.

    Args:
        root: a folder, or `s3://bucket/prefix`.
        endpoint_url: root of the S3 server; None: Amazon's.
        region: of the bucket; None: from AWS's own settings.
        waits: whether requests wait for a server that does not answer, as those of a step do. A person, or
            Dagster's daemon, wants to hear of it at once.

    Raises:
        StoreError: `root` cannot be a store.
    """
    if not is_bucket(root):
        return Store(root)
    return Store(root, connect(endpoint_url, region), waits)


def is_bucket(root: Path | str) -> bool:
    return isinstance(root, str) and root.startswith(BUCKET_SCHEME)


def _backend(root: Path | str, client: Any, waits: bool) -> Backend:
    if isinstance(root, str) and is_bucket(root):
        name, _, prefix = root.removeprefix(BUCKET_SCHEME).partition("/")
        prefix = prefix.strip("/")
        if prefix and not _is_plain(prefix):
            raise StoreError(f"{prefix!r} in WAVCAPS_STORE is not a prefix of a bucket's keys")
        return Bucket(name, prefix, client or connect(), waits)
    # `Path("s3://bucket")` is "s3:/bucket".
    if scheme := re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", str(root)):
        raise StoreError(
            f"WAVCAPS_STORE starts with {scheme[0]!r}: a store is a folder or s3://bucket/prefix"
        )
    if Path(root).is_file():
        raise StoreError(f"{root} is a file, and a store is a folder: see WAVCAPS_STORE")
    return Folder(Path(root))


def _is_plain(relative: str) -> bool:
    """Whether a path stays inside its root and means the same to a file system and to S3."""
    return (
        not PurePosixPath(relative).is_absolute()
        and {"", ".", ".."}.isdisjoint(relative.split("/"))
        and "\\" not in relative
        and not any(unicodedata.category(character) in {"Cc", "Cs"} for character in relative)
    )
