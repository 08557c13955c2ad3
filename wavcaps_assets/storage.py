"""Where tables, audio and checkpoints live.

A store is a folder. What stands in it is complete: a file is written under a temporary name and
renamed when it is whole, so that a killed run leaves nothing half-written under a final name.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.tables import TableSchema


class StoreError(OSError):
    """A file cannot be kept, or is not there."""


class Store:
    """A folder of tables and files, addressed by relative paths."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()

    def path(self, relative: str) -> Path:
        """The absolute path of something in the store.

        Raises:
            StoreError: the path leaves the store.
        """
        pure = PurePosixPath(relative)
        if pure.is_absolute() or ".." in pure.parts or "\0" in relative:
            raise StoreError(f"{relative!r} is no path inside the store {self.root}")
        return self.root / pure

    def exists(self, relative: str) -> bool:
        return self.path(relative).is_file()

    @contextmanager
    def writing(self, relative: str) -> Iterator[Path]:
        """Gives a temporary path to write to; on success it becomes `relative` in one step.

        Raises:
            StoreError: there is no room, or no right to write.
        """
        target = self.path(relative)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=f".part{target.suffix}")
            os.close(handle)
        except OSError as error:
            raise StoreError(
                f"cannot write {relative!r} under {self.root}: {error.strerror}; "
                "free some space or point WAVCAPS_STORE elsewhere"
            ) from error
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(target)
        except OSError as error:
            raise StoreError(f"cannot write {relative!r} under {self.root}: {error}") from error
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()

    def write_table(self, relative: str, table: pa.Table, schema: TableSchema) -> int:
        """Checks a table against its schema and writes it as Parquet. Returns its size in bytes."""
        checked = schema.check(table)
        with self.writing(relative) as path:
            pq.write_table(checked, path, compression="zstd")
            return path.stat().st_size

    def read_table(self, relative: str) -> pa.Table:
        """Reads a Parquet table.

        Raises:
            StoreError: there is none.
        """
        path = self.path(relative)
        if not path.is_file():
            raise StoreError(f"no table {relative!r} in {self.root}: has its asset been materialized?")
        return pq.read_table(path, partitioning=None)
