"""The response ledger: every answer of a model, written down before anything else happens to it.

A folder of JSON-lines segments, one for each process that wrote. A segment is only ever appended to,
by its own process; a run reads all of them before it asks anything.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """What decides an answer: the same question is never asked twice.

    Attributes:
        prompt_version: content hash of the prompt.
        model: the model's name at its endpoint.
        parameters: of the request, such as the temperature.
        inputs: the texts, in the order they are asked in.
        attempt: counts from 0; a text that is asked again is another question.
    """

    prompt_version: str
    model: str
    parameters: Mapping[str, Any]
    inputs: Sequence[str]
    attempt: int

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What the model said, and what it took. Token counts where the endpoint tells them."""

    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float


class Ledger:
    """All answers under a folder, by the key of their question.

    Use as a context manager; only the first `record` makes a file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._answers: dict[str, Answer] = {}
        self._segment: IO[str] | None = None
        for segment in sorted(folder.glob("*.jsonl")):
            self._read(segment)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._segment:
            self._segment.close()
            self._segment = None

    def __len__(self) -> int:
        return len(self._answers)

    def _read(self, segment: Path) -> None:
        with segment.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    record = json.loads(line)
                    self._answers[record["key"]] = Answer(**record["answer"])
                except (ValueError, KeyError, TypeError):
                    # A killed process leaves its last line unfinished; that answer is asked for again.
                    logger.warning("%s, line %d, is no whole answer and is passed over", segment, number)

    def get(self, question: Question) -> Answer | None:
        return self._answers.get(question.key)

    def record(self, question: Question, answer: Answer) -> None:
        """Writes an answer to the disk, then remembers it."""
        if self._segment is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
            self._segment = (self.folder / name).open("x", encoding="utf-8")
        line = {
            "key": question.key,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "question": asdict(question),
            "answer": asdict(answer),
        }
        self._segment.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._segment.flush()
        os.fsync(self._segment.fileno())
        self._answers[question.key] = answer
