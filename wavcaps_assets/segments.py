"""A log of expensive work, written the moment it is done.

Each writer appends JSON lines to a file of its own, so that several processes can share a folder
and a killed one loses nothing but the line it was writing.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from wavcaps_assets.clock import utc_now

logger = logging.getLogger(__name__)


class SegmentLog:
    """An append-only log in a folder. Safe to append to from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None

    def __enter__(self) -> SegmentLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> Iterator[dict[str, Any]]:
        """All records of all writers, oldest segment first. What is no whole record is passed over."""
        for segment in sorted(self.folder.glob("*.jsonl")):
            with segment.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        record = json.loads(line) if line.endswith(b"\n") else None
                    except ValueError:
                        record = None
                    if isinstance(record, dict):
                        yield record
                    else:
                        # A killed process leaves its last line unfinished; that work is done again.
                        logger.warning(
                            "%s, line %d, is no whole record and is passed over", segment.name, number
                        )

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one record to disk before it returns."""
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                name = f"{utc_now():%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}.jsonl"
                self._file = (self.folder / name).open("xb")
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
