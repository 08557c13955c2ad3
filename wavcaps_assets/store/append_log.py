"""An append log: records of expensive work, written as soon as the work is done.

Each writer appends JSON lines to its own segments, so that several processes can share a folder and a
killed process loses at most the line it was writing. In a folder, a writer has one segment. In a
bucket, where objects cannot be appended to, each call writes one segment, and writers and readers merge
segments (`log_objects`).
"""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Protocol

from wavcaps_assets.store.log_objects import SUFFIX, ObjectReader, ObjectWriter, new_writer, segment_name
from wavcaps_assets.store.storage import Store, StoreError

__all__ = ["SUFFIX", "AppendLog", "FileWriter", "line_of"]

logger = logging.getLogger(__name__)

LINE = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


class AppendLog:
    """An append-only log in a folder of a store. Safe to append to from several threads.

    Args:
        store: a folder or a bucket.
        folder: the log's folder in the store; created by the first record.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._writer: Writer = FileWriter(store, folder) if store.is_folder else ObjectWriter(store, folder)

    def __enter__(self) -> AppendLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> Iterator[dict[str, Any]]:
        """All records of all writers, oldest segment first. Incomplete records are skipped.

        A record can appear twice: if a process was killed while it merged segments, or merges them
        during this call.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._records(self._segments())

    def read_new(self, known: set[str]) -> Iterator[dict[str, Any]]:
        """The records of a bucket's segments that are not known. This log's own writes are left out.

        Args:
            known: names of segments; those that are read are added.

        Raises:
            StoreError: the store cannot be read.
        """
        if isinstance(self._writer, ObjectWriter):
            known |= self._writer.names
        return self._records(self._objects(known))

    @staticmethod
    def _records(segments: Iterator[tuple[str, Iterable[bytes]]]) -> Iterator[dict[str, Any]]:
        for name, lines in segments:
            for number, line in enumerate(lines, 1):
                try:
                    record = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    record = None
                if isinstance(record, dict):
                    yield record
                else:
                    # A killed process leaves its last line incomplete; its work is repeated.
                    logger.warning("%s, line %d, is not a complete record and is skipped", name, number)

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one record. It is in the store when this returns.

        Raises:
            StoreError: it could not be written.
        """
        self.append_many((record,))

    def append_many(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes several records at once. They are in the store when this returns.

        Raises:
            StoreError: they could not all be written; some may have been.
        """
        self.append_lines([line_of(record) for record in records])

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """Like `append_many`, for records encoded by `line_of`."""
        if lines:
            self._writer.write(b"".join(lines))

    def close(self) -> None:
        self._writer.close()

    def _segments(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        if not self._store.is_folder:
            yield from self._objects(set())
            return
        for name in sorted(name for name in self._store.sizes(self._folder) if name.endswith(SUFFIX)):
            with self._store.reading(f"{self._folder}/{name}") as path, path.open("rb") as lines:
                yield name, lines

    def _objects(self, known: set[str]) -> Iterator[tuple[str, Iterable[bytes]]]:
        for name, data in ObjectReader(self._store, self._folder).segments(known):
            yield name, io.BytesIO(data)


class Writer(Protocol):
    """Writes complete lines to the store."""

    def write(self, lines: bytes) -> None: ...

    def close(self) -> None: ...


class FileWriter:
    """Writes one file, flushed to disk after each call."""

    def __init__(self, store: Store, folder: str) -> None:
        self._folder = store.path(folder)
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None

    def write(self, lines: bytes) -> None:
        with self._lock:
            try:
                if self._file is None:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    self._file = (self._folder / f"{segment_name(new_writer())}{SUFFIX}").open("xb")
                self._file.write(lines)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                # Part of a line may be written; the next record must not continue it.
                with suppress(OSError):
                    self._close()
                raise StoreError(
                    f"cannot write to the log {self._folder}: {error}; "
                    "free some space or point WAVCAPS_STORE elsewhere"
                ) from error

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def line_of(record: Mapping[str, Any]) -> bytes:
    """A record as a line of the log."""
    return LINE.encode(record).encode("ascii") + b"\n"
