"""An append log: records of expensive work, written as soon as the work is done.

Each writer appends JSON lines to its own segments, so that several processes can share a folder and a
killed process loses at most the line it was writing. In a folder, a writer has one segment. In a
bucket, where objects cannot be appended to, each call writes one segment, and the writer merges its
segments from time to time.
"""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Any, BinaryIO, Protocol

from wavcaps_assets.clock import utc_now
from wavcaps_assets.store.storage import MissingFile, Store, StoreError

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"
LINE = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
# boto3 keeps this many connections open.
READERS = 10
# Number of objects fetched before the first of them is needed.
READ_AHEAD = 30
# A writer merges its segments at these limits, so it keeps no more than this in memory.
MERGED_SEGMENTS = 1000
MERGED_BYTES = 4_000_000


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

        A record can appear twice: if a writer was killed while it merged segments, or merges them
        during this call.

        Raises:
            StoreError: the store cannot be read.
        """
        for name, lines in self._segments():
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
        if self._store.is_folder:
            for name in self._names():
                with self._store.reading(f"{self._folder}/{name}") as path, path.open("rb") as lines:
                    yield name, lines
            return
        listed: set[str] = set()
        incomplete = True
        with ThreadPoolExecutor(READERS) as pool:
            # A segment that disappears after the listing was merged into one that the next listing has.
            while incomplete:
                incomplete = False
                names = [name for name in self._names() if name not in listed]
                listed.update(names)
                for start in range(0, len(names), READ_AHEAD):
                    chunk = names[start : start + READ_AHEAD]
                    for name, data in zip(chunk, pool.map(self._data, chunk), strict=True):
                        if data is None:
                            incomplete = True
                        else:
                            yield name, io.BytesIO(data)

    def _names(self) -> list[str]:
        return sorted(name for name in self._store.sizes(self._folder) if name.endswith(SUFFIX))

    def _data(self, name: str) -> bytes | None:
        try:
            return self._store.read_bytes(f"{self._folder}/{name}")
        except MissingFile:
            return None


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
                    self._file = (self._folder / f"{_now()}-{_new_writer()}{SUFFIX}").open("xb")
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


class ObjectWriter:
    """Writes an object per call, and merges many objects into one."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._name = _new_writer()
        self._calls = count()
        self._lock = threading.Lock()
        self._written: dict[str, bytes] = {}
        self._bytes = 0

    def write(self, lines: bytes) -> None:
        path = f"{self._folder}/{_now()}-{self._name}-{next(self._calls):06d}{SUFFIX}"
        self._store.write_bytes(path, lines)
        with self._lock:
            self._written[path] = lines
            self._bytes += len(lines)
            full = len(self._written) >= MERGED_SEGMENTS or self._bytes >= MERGED_BYTES
            objects = self._clear() if full else {}
        self._merge(objects)

    def close(self) -> None:
        with self._lock:
            objects = self._clear()
        self._merge(objects)

    def _clear(self) -> dict[str, bytes]:
        written, self._written, self._bytes = self._written, {}, 0
        return written

    def _merge(self, objects: Mapping[str, bytes]) -> None:
        paths = sorted(objects)
        if len(paths) < 2:
            return
        # Sorts to the place of the first segment, so that records stay in order.
        merged = f"{paths[0].removesuffix(SUFFIX)}-joined{SUFFIX}"
        try:
            self._store.write_bytes(merged, b"".join(objects[path] for path in paths))
            self._store.remove_files(paths)
        except StoreError as error:
            # Every record is in the store already; the log is only slower to read.
            logger.warning("%d segments of a log could not be merged: %s", len(paths), error)


def line_of(record: Mapping[str, Any]) -> bytes:
    """A record as a line of the log."""
    return LINE.encode(record).encode("ascii") + b"\n"


def _now() -> str:
    """The current time, in a form that sorts."""
    return f"{utc_now():%Y%m%dT%H%M%S%f}"


def _new_writer() -> str:
    return uuid.uuid4().hex[:8]
