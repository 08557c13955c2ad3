"""The segments of an append log in a bucket: written as an object per call, and merged.

Two things keep a log short. A writer merges its own segments. A reader merges what killed writers left.
Both write the merged segment before they remove its parts, so that a kill, or another reader or writer at
the same time, can show a record twice and never lose one.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count

from wavcaps_assets.clock import utc_now
from wavcaps_assets.store.storage import MissingFile, Store, StoreError

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"
# boto3 keeps this many connections open.
READERS = 10
# Number of objects fetched before the first of them is needed.
READ_AHEAD = 30
# Segments are merged at these limits, so a process keeps no more than this in memory.
MERGED_SEGMENTS = 1000
MERGED_BYTES = 4_000_000
# A reader merges segments when there are more than this many small ones.
MAX_SMALL_SEGMENTS = 100


def segment_name(writer: str) -> str:
    """The start of a segment's name. Names sort by time."""
    return f"{utc_now():%Y%m%dT%H%M%S%f}-{writer}"


def new_writer() -> str:
    return uuid.uuid4().hex[:8]


class ObjectWriter:
    """Writes an object per call, and merges many objects into one.

    Attributes:
        names: of all segments that it has written.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._name = new_writer()
        self._calls = count()
        self._lock = threading.Lock()
        self._written: dict[str, bytes] = {}
        self._bytes = 0
        self.names: set[str] = set()

    def write(self, lines: bytes) -> None:
        name = f"{segment_name(self._name)}-{next(self._calls):06d}{SUFFIX}"
        self._store.write_bytes(f"{self._folder}/{name}", lines)
        with self._lock:
            self.names.add(name)
            self._written[name] = lines
            self._bytes += len(lines)
            full = len(self._written) >= MERGED_SEGMENTS or self._bytes >= MERGED_BYTES
            segments = self._clear() if full else {}
        self._merge(segments)

    def close(self) -> None:
        with self._lock:
            segments = self._clear()
        self._merge(segments)

    def _clear(self) -> dict[str, bytes]:
        written, self._written, self._bytes = self._written, {}, 0
        return written

    def _merge(self, segments: Mapping[str, bytes]) -> None:
        if len(segments) < 2:
            return
        try:
            # A reader may have merged some of them already.
            present = self._store.sizes(self._folder)
            left = {name: segments[name] for name in segments if name in present}
            self.names.add(merge(self._store, self._folder, left))
        except StoreError as error:
            # Every record is in the store already; the log is only slower to read.
            logger.warning("%d segments of a log could not be merged: %s", len(segments), error)


class ObjectReader:
    """Reads all segments of a log, oldest first, and merges small ones where there are many."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder

    def segments(self, listed: set[str]) -> Iterator[tuple[str, bytes]]:
        """Names and contents.

        Args:
            listed: names that are not read; those that are read are added.

        Raises:
            StoreError: the store cannot be read.
        """
        incomplete = True
        with ThreadPoolExecutor(READERS) as pool:
            # A segment that disappears after the listing was merged into one that the next listing has.
            while incomplete:
                incomplete = False
                sizes = {name: size for name, size in self._sizes().items() if name not in listed}
                names = sorted(sizes)
                listed.update(names)
                small = sum(size < MERGED_BYTES // 2 for size in sizes.values())
                merger = Merger(self._store, self._folder, listed) if small > MAX_SMALL_SEGMENTS else None
                for start in range(0, len(names), READ_AHEAD):
                    chunk = names[start : start + READ_AHEAD]
                    for name, data in zip(chunk, pool.map(self._data, chunk), strict=True):
                        if data is None:
                            incomplete = True
                            continue
                        yield name, data
                        if merger:
                            merger.add(name, data)
                if merger:
                    merger.flush()

    def _sizes(self) -> dict[str, int]:
        sizes = self._store.sizes(self._folder)
        return {name: size for name, size in sizes.items() if name.endswith(SUFFIX)}

    def _data(self, name: str) -> bytes | None:
        try:
            return self._store.read_bytes(f"{self._folder}/{name}")
        except MissingFile:
            return None


class Merger:
    """Merges the segments that a reader has read, in groups that follow each other.

    Args:
        listed: names that the reader does not read again; merged segments are added.
    """

    def __init__(self, store: Store, folder: str, listed: set[str]) -> None:
        self._store = store
        self._folder = folder
        self._listed = listed
        self._group: dict[str, bytes] = {}
        self._bytes = 0
        self._failed = False

    def add(self, name: str, data: bytes) -> None:
        # A large segment stays as it is, and so does one whose last line a next one would continue.
        if len(data) >= MERGED_BYTES // 2 or not data.endswith(b"\n"):
            self.flush()
            return
        self._group[name] = data
        self._bytes += len(data)
        if len(self._group) >= MERGED_SEGMENTS or self._bytes >= MERGED_BYTES:
            self.flush()

    def flush(self) -> None:
        group, self._group, self._bytes = self._group, {}, 0
        if len(group) < 2 or self._failed:
            return
        try:
            self._listed.add(merge(self._store, self._folder, group))
        except StoreError as error:
            # A reader may have no right to write. Every record is in the store as it was.
            self._failed = True
            logger.warning("the segments of the log %s are not merged: %s", self._folder, error)


def merge(store: Store, folder: str, segments: Mapping[str, bytes]) -> str:
    """Replaces segments by one, which sorts to the place of the first. Returns its name.

    Raises:
        StoreError: they could not all be replaced; no record is lost.
    """
    names = sorted(segments)
    if len(names) < 2:
        return names[0] if names else ""
    # Time, writer and number of the first; unique, so that no other merge at the same time overwrites it.
    first = "-".join(names[0].removesuffix(SUFFIX).split("-")[:3])
    name = f"{first}-{new_writer()}-joined{SUFFIX}"
    store.write_bytes(f"{folder}/{name}", b"".join(segments[each] for each in names))
    try:
        store.remove_files([f"{folder}/{each}" for each in names])
    except StoreError:
        # Records would be there twice; where some parts are gone already, they must stay.
        with suppress(StoreError):
            if store.sizes(folder).keys() >= segments.keys():
                store.remove(f"{folder}/{name}")
        raise
    return name
