"""A log of expensive work, written the moment it is done.

Each writer appends JSON lines to segments of its own, so that several processes can share a folder
and a killed one loses nothing but the line it was writing. In a folder, a writer has one segment.
In a bucket, where nothing can be appended to, each call makes one, and the writer joins its own
from time to time: a month of work must not take a month to read.
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
# As many connections as boto3 keeps open.
READERS = 10
# Objects that are read before the first of them is needed.
READ_AHEAD = 30
# What a writer makes before it joins it, and so the most that it keeps in memory.
JOINED_OBJECTS = 1000
JOINED_BYTES = 4_000_000


class AppendLog:
    """An append-only log in a folder of a store. Safe to append to from several threads.

    Args:
        store: a folder or a bucket.
        folder: of the log, in the store; made by the first record.
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
        """All records of all writers, oldest segment first. What is no whole record is passed over.

        A record may come twice: where its writer was killed while it joined its objects, and where
        it joins them now.

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
                    # A killed process leaves its last line unfinished; that work is done again.
                    logger.warning("%s, line %d, is no whole record and is passed over", name, number)

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one record to the store before it returns.

        Raises:
            StoreError: it could not be written.
        """
        self.append_many((record,))

    def append_many(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes records to the store, all at once, before it returns.

        Raises:
            StoreError: they could not be written; some of them may have been.
        """
        self.append_lines([line_of(record) for record in records])

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """As `append_many`, of what `line_of` made of the records."""
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
        seen: set[str] = set()
        gone = True
        with ThreadPoolExecutor(READERS) as pool:
            # What is gone since it was listed has been joined to others, which the next listing shows.
            while gone:
                gone = False
                names = [name for name in self._names() if name not in seen]
                seen.update(names)
                for start in range(0, len(names), READ_AHEAD):
                    some = names[start : start + READ_AHEAD]
                    for name, data in zip(some, pool.map(self._data, some), strict=True):
                        if data is None:
                            gone = True
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
    """Puts whole lines into the store."""

    def write(self, lines: bytes) -> None: ...

    def close(self) -> None: ...


class FileWriter:
    """One file, flushed to the disk after each call."""

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
                # What was written of a line must not become the start of another.
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
    """An object for each call; many of them are joined to one."""

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
            full = len(self._written) >= JOINED_OBJECTS or self._bytes >= JOINED_BYTES
            objects = self._take() if full else {}
        self._join(objects)

    def close(self) -> None:
        with self._lock:
            objects = self._take()
        self._join(objects)

    def _take(self) -> dict[str, bytes]:
        taken, self._written, self._bytes = self._written, {}, 0
        return taken

    def _join(self, objects: Mapping[str, bytes]) -> None:
        paths = sorted(objects)
        if len(paths) < 2:
            return
        # Sorts before the first of them, where their records belong.
        joined = f"{paths[0].removesuffix(SUFFIX)}-joined{SUFFIX}"
        try:
            self._store.write_bytes(joined, b"".join(objects[path] for path in paths))
            self._store.remove_files(paths)
        except StoreError as error:
            # Every record is in the store already; it is only slower to read.
            logger.warning("%d segments of a log could not be joined: %s", len(paths), error)


def line_of(record: Mapping[str, Any]) -> bytes:
    """A record as it is written."""
    return LINE.encode(record).encode("ascii") + b"\n"


def _now() -> str:
    """The time, so that names sort by it."""
    return f"{utc_now():%Y%m%dT%H%M%S%f}"


def _new_writer() -> str:
    return uuid.uuid4().hex[:8]
