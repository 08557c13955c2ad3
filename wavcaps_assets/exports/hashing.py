"""A file that is hashed while it is written."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

# Hashed together, by a thread: hashing takes as long as writing does, and both leave Python's lock.
AT_ONCE_BYTES = 1 << 18


class HashingFile(io.RawIOBase):
    """A file to write to from its start to its end, which hashes what it is given.

    Attributes:
        size: what has been written (bytes).
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._job: Future[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        # A view may change once this has returned.
        content = data if isinstance(data, bytes) else bytes(data)
        self._file.write(content)
        self._waiting.append(content)
        self._waiting_bytes += len(content)
        self.size += len(content)
        if self._waiting_bytes >= AT_ONCE_BYTES:
            self._hash_waiting()
        return len(content)

    def tell(self) -> int:
        return self.size

    def sha256(self) -> str:
        """Of all that has been written, in hexadecimal."""
        self._wait()
        self._update(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        return self._digest.hexdigest()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        super().close()

    def _hash_waiting(self) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1)
        # One job at a time: what is hashed while it is in the processor's cache costs less.
        self._wait()
        self._job = self._thread.submit(self._update, self._waiting)
        self._waiting, self._waiting_bytes = [], 0

    def _wait(self) -> None:
        if self._job is not None:
            self._job.result()
            self._job = None

    def _update(self, contents: Iterable[bytes]) -> None:
        for content in contents:
            self._digest.update(content)
