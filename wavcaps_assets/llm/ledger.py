"""The response ledger: every answer of a model, stored before anything else happens to it.

A run reads the answers of all earlier runs before it sends anything. Of a folder, only the place of each
answer is in memory; the answer is read when it is needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from types import TracebackType
from typing import Any, Self

from wavcaps_assets.llm.records import NO_ANSWER, Answer, Request, answer_in, answer_of, record_of
from wavcaps_assets.store.append_log import SUFFIX, AppendLog, line_of
from wavcaps_assets.store.storage import Store, StoreError

logger = logging.getLogger(__name__)

# The folder of all answers, in the store.
ANSWERS = "log/answers"
DECODER = json.JSONDecoder()
# The start of a line that `record` wrote: the key is read without the rest.
HEAD = b'{"key":"'
KEY_END = len(HEAD) + hashlib.sha256().digest_size * 2
# The answer is the last value of a line.
ANSWER = b',"answer":'
# Segments that are open at once. A system allows a process about a thousand files.
OPEN_FILES = 100


class ResponseLedger:
    """All answers in a folder of a store, by the key of their request.

    Use as a context manager. The first `record` makes a file. `refresh` shows what other processes have
    written. Several processes may write at the same time.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder
        self._log = AppendLog(store, folder)
        # By the key's bytes: segment, first byte and length (bytes); or the line itself.
        self._lines: dict[bytes, tuple[int, int, int] | bytes] = {}
        self._segments: list[str] = []
        self._read_to: dict[str, int] = {}
        self._open: dict[int, FileIO] = {}
        self._warned: set[tuple[str, int]] = set()
        self._objects: set[str] = set()
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        self._close_files()

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, request: Request) -> bool:
        return bytes.fromhex(request.key) in self._lines and self.get(request) is not None

    def get(self, request: Request) -> Answer | None:
        """The answer to a request; None if there is none. What an endpoint sent while it was down is none."""
        answer = self._stored(request)
        return None if answer is None or answer.finish_reason in NO_ANSWER else answer

    def _stored(self, request: Request) -> Answer | None:
        line = self._read(bytes.fromhex(request.key))
        if line is None:
            return None
        # Quotation marks inside texts are escaped: the last match is where the answer begins.
        _, found, stored = line.rpartition(ANSWER)
        try:
            if found:
                return answer_of(DECODER.raw_decode(stored.decode("ascii"))[0])
        except ValueError:
            pass
        record = self.find(request.key)
        return None if record is None else answer_in(record)

    def find(self, key: str) -> Mapping[str, Any] | None:
        """The record of a key: `key`, `at`, `question`, `answer`, `source` and `size`. None if there is none.

        Raises:
            StoreError: its segment is gone.
        """
        wanted = _key_bytes(key)
        line = None if wanted is None else self._read(wanted)
        return None if line is None else _record(line)

    def record(self, request: Request, answer: Answer, source: str = "", size: int | None = None) -> None:
        """Stores an answer.

        Args:
            source: a label for the table of costs, such as the name of a data set.
            size: of the messages, by `tokens.size`. Later estimates learn from it.
        """
        self.record_many([record_of(request, answer, source, size)])

    def record_many(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Stores several records in one write; see `records.record_of`.

        Raises:
            StoreError: they cannot be written. Some of them may have been.
        """
        lines = [line_of(record) for record in records]
        self._log.append_lines(lines)
        for record, line in zip(records, lines, strict=True):
            self._lines[bytes.fromhex(record["key"])] = line

    def records(self) -> Iterator[Mapping[str, Any]]:
        """All records, the oldest segment first, read from the store.

        A request that two processes sent at the same time has two records: both were paid for.
        """
        known: set[int] = set()
        for record in self._log.read():
            answer = answer_in(record)
            if answer is None or not isinstance(record.get("question"), dict):
                continue
            # A bucket's log may show a record twice while its objects are joined.
            once = hash((record.get("key"), record.get("at"), answer.seconds, answer.text))
            if once not in known:
                known.add(once)
                yield record

    def newest(self, holding: str = "") -> Iterator[Mapping[str, Any]]:
        """One record for each request, the newest first, as of the last `refresh`, without lost requests.

        Args:
            holding: only records whose line contains this, such as a prompt's version.
        """
        wanted = holding.encode("ascii")
        for key in reversed(list(self._lines)):
            line = self._read(key)
            if line is None or wanted not in line:
                continue
            record = _record(line)
            answer = None if record is None else answer_in(record)
            if record is not None and answer is not None and answer.finish_reason not in NO_ANSWER:
                yield record

    def refresh(self) -> None:
        """Reads what other processes have written since the last time.

        Raises:
            StoreError: the store cannot be read.
        """
        if not self.store.is_folder:
            # To read one object for each answer would be slow.
            known = set(self._objects)
            for record in self._log.read_new(known):
                if (key := _key_bytes(record.get("key"))) is not None:
                    self._lines[key] = line_of(record)
            self._objects = known
            return
        for name, size in sorted(self.store.sizes(self.folder).items()):
            if name.endswith(SUFFIX) and size > self._read_to.get(name, 0):
                self._scan(name)

    def _scan(self, name: str) -> None:
        """Notes the place of each answer in a segment, from where the last scan ended."""
        start = self._read_to.get(name)
        if start is None:
            self._segments.append(name)
            start = 0
        segment, lines = self._segments.index(name), self._lines
        with self.store.reading(f"{self.folder}/{name}") as path, path.open("rb") as file:
            file.seek(start)
            for line in file:
                key = _key_of(line)
                if key is None:
                    # A killed process leaves its last line unfinished. That request is sent again.
                    if (name, start) not in self._warned:
                        self._warned.add((name, start))
                        logger.warning("%s, byte %d: not a whole record; it is skipped", name, start)
                    if not line.endswith(b"\n"):
                        break
                elif not isinstance(lines.get(key), bytes):
                    lines[key] = (segment, start, len(line))
                start += len(line)
        self._read_to[name] = start

    def _read(self, key: bytes) -> bytes | None:
        place = self._lines.get(key)
        if place is None or isinstance(place, bytes):
            return place
        segment, start, length = place
        file = self._open.get(segment)
        if file is None:
            if len(self._open) >= OPEN_FILES:
                self._close_files()
            path = self.store.path(f"{self.folder}/{self._segments[segment]}")
            try:
                file = self._open[segment] = FileIO(path)
            except OSError as error:
                raise StoreError(
                    f"cannot read {path}, a part of the response ledger that existed before: {error}"
                ) from error
        return os.pread(file.fileno(), length, start)

    def _close_files(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()


def _record(line: bytes) -> Mapping[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        logger.warning("a line of the response ledger cannot be read and is skipped: %.80r…", line)
        return None
    return record if isinstance(record, dict) else None


def _key_of(line: bytes) -> bytes | None:
    """The key of a line; None: the line is not a whole record."""
    if not line.endswith(b"}\n"):
        return None
    if line.startswith(HEAD) and line[KEY_END : KEY_END + 2] == b'",':
        return _key_bytes(line[len(HEAD) : KEY_END].decode("latin-1"))
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return _key_bytes(record.get("key")) if isinstance(record, dict) else None


def _key_bytes(key: object) -> bytes | None:
    try:
        return bytes.fromhex(key) if isinstance(key, str) else None
    except ValueError:
        return None
