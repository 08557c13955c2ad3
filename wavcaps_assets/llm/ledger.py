"""The response ledger: every answer of a model, written down before anything else happens to it.

A run reads what all earlier runs were answered before it asks anything. In a folder, only where each
answer stands is kept in memory; the answer is read when it is wanted.
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

from wavcaps_assets.llm.records import (
    LOST,
    Answer,
    Request,
    answer_in,
    answer_of,
    lost_request,
    record_of,
)
from wavcaps_assets.store.append_log import SUFFIX, AppendLog, line_of
from wavcaps_assets.store.storage import Store, StoreError

__all__ = ["ANSWERS", "LOST", "Answer", "Request", "ResponseLedger", "answer_in", "lost_request", "record_of"]

logger = logging.getLogger(__name__)

# The folder of all answers, in the store.
ANSWERS = "log/answers"
DECODER = json.JSONDecoder()
# How a line begins that `record` wrote: its key is read without the rest.
HEAD = b'{"key":"'
KEY_END = len(HEAD) + hashlib.sha256().digest_size * 2
# What comes before the answer, which comes last.
ANSWER = b',"answer":'
# Segments that are open at once; a system allows a process some thousand files.
OPEN_FILES = 100


class ResponseLedger:
    """All answers under a folder of a store, by the key of their question.

    Use as a context manager; only the first `record` makes a file. What other processes write later
    is seen after `refresh`. Several processes may write at once.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder
        self._log = AppendLog(store, folder)
        # By the key's bytes: segment, first byte and length in bytes; or the line itself.
        self._lines: dict[bytes, tuple[int, int, int] | bytes] = {}
        self._segments: list[str] = []
        self._read_to: dict[str, int] = {}
        self._open: dict[int, FileIO] = {}
        self._warned: set[tuple[str, int]] = set()
        if store.is_folder:
            self.refresh()
        else:
            # An object an answer would be slow to read one by one.
            for record in self._log.read():
                if (key := _key_bytes(record.get("key"))) is not None:
                    self._lines[key] = line_of(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        self._close_files()

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, question: Request) -> bool:
        return bytes.fromhex(question.key) in self._lines

    def get(self, question: Request) -> Answer | None:
        line = self._read(bytes.fromhex(question.key))
        if line is None:
            return None
        # Quotation marks inside texts are escaped, so that the last such place is where the answer begins.
        _, found, said = line.rpartition(ANSWER)
        try:
            if found:
                return answer_of(DECODER.raw_decode(said.decode("ascii"))[0])
        except ValueError:
            pass
        record = self.find(question.key)
        return None if record is None else answer_in(record)

    def find(self, key: str) -> Mapping[str, Any] | None:
        """What was recorded under a key: `key`, `at`, `question`, `answer`, `source` and `size`.

        Raises:
            StoreError: the segment that holds it is gone.
        """
        wanted = _key_bytes(key)
        line = None if wanted is None else self._read(wanted)
        return None if line is None else _record(line)

    def record(self, question: Request, answer: Answer, source: str = "", size: int | None = None) -> None:
        """Writes an answer to the store, then remembers it.

        Args:
            source: whose clips are asked about, for the table of costs.
            size: of the messages, as `tokens.size` counts it: what later estimates learn from.
        """
        self.record_many([record_of(question, answer, source, size)])

    def record_many(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Writes what `record_of` made of some answers to the store, all at once, then remembers it.

        Raises:
            StoreError: they could not be written; some of them may have been.
        """
        lines = [line_of(record) for record in records]
        self._log.append_lines(lines)
        for record, line in zip(records, lines, strict=True):
            self._lines[bytes.fromhex(record["key"])] = line

    def records(self) -> Iterator[Mapping[str, Any]]:
        """All that was ever recorded, oldest segment first, read anew from the store.

        A question that two processes asked at the same time has two records: both were paid for.
        """
        seen: set[int] = set()
        for record in self._log.read():
            answer = answer_in(record)
            if answer is None or not isinstance(record.get("question"), dict):
                continue
            # A bucket's log may show a record twice while its objects are joined.
            once = hash((record.get("key"), record.get("at"), answer.seconds, answer.text))
            if once not in seen:
                seen.add(once)
                yield record

    def newest(self, holding: str = "") -> Iterator[Mapping[str, Any]]:
        """One record a question, the last to be asked first, as of the last `refresh`; no lost requests.

        Args:
            holding: records whose line does not hold this, such as a prompt's version, are left out.
        """
        wanted = holding.encode("ascii")
        for key in reversed(list(self._lines)):
            line = self._read(key)
            if line is None or wanted not in line:
                continue
            record = _record(line)
            answer = None if record is None else answer_in(record)
            if record is not None and answer is not None and answer.finish_reason != LOST:
                yield record

    def refresh(self) -> None:
        """Sees what other processes have written since the last look. A bucket is not read again.

        Raises:
            StoreError: the folder cannot be read.
        """
        if not self.store.is_folder:
            return
        for name, size in sorted(self.store.sizes(self.folder).items()):
            if name.endswith(SUFFIX) and size > self._read_to.get(name, 0):
                self._scan(name)

    def _scan(self, name: str) -> None:
        """Notes where each answer of a segment stands, from where it was read to."""
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
                    # A killed process leaves its last line unfinished; that work is done again.
                    if (name, start) not in self._warned:
                        self._warned.add((name, start))
                        logger.warning("%s, byte %d: no whole record, which is passed over", name, start)
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
                    f"cannot read {path}, a part of the ledger that was there when this run began: {error}"
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
        logger.warning("a line of the ledger cannot be read and is passed over: %.80r…", line)
        return None
    return record if isinstance(record, dict) else None


def _key_of(line: bytes) -> bytes | None:
    """The key of a line; None for what is no whole record."""
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
