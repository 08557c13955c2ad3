"""The response ledger: every answer of a model, written down before anything else happens to it.

A run reads what all earlier runs were answered before it asks anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from wavcaps_assets.clock import utc_now
from wavcaps_assets.segments import SegmentLog
from wavcaps_assets.storage import Store


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
    """All answers under a folder of a store, by the key of their question.

    Use as a context manager; only the first `record` makes a file.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._log = SegmentLog(store, folder)
        self._answers = {record["key"]: Answer(**record["answer"]) for record in self._log.read()}

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, question: Question) -> Answer | None:
        return self._answers.get(question.key)

    def record(self, question: Question, answer: Answer) -> None:
        """Writes an answer to the store, then remembers it."""
        self._log.append(
            {
                "key": question.key,
                "at": utc_now().isoformat(timespec="seconds"),
                "question": asdict(question),
                "answer": asdict(answer),
            }
        )
        self._answers[question.key] = answer
