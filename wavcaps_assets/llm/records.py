"""Questions and answers, and how they are written down."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import cached_property
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from wavcaps_assets.clock import utc_now

ENCODER = json.JSONEncoder(sort_keys=True)
# The finish reason of a request that was heard and brought no answer; it may have been paid for.
LOST = "lost"


# Parameters as they were when they were encoded last: the object, a copy, and their JSON.
RECENT = deque[tuple[Mapping[str, Any], dict[str, Any], str]](maxlen=4)


def _encoded(parameters: Mapping[str, Any]) -> str:
    for known, copy, encoded in RECENT:
        if known is parameters and copy == parameters:
            return encoded
    encoded = ENCODER.encode(parameters)
    RECENT.append((parameters, deepcopy(dict(parameters)), encoded))
    return encoded


@dataclass(frozen=True)
class Request:
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

    @cached_property
    def key(self) -> str:
        # As JSON with sorted keys. Put together by hand, since most of it is the same in 675,000 questions.
        content = (
            f'{{"attempt": {self.attempt}, "inputs": [{", ".join(map(quoted, self.inputs))}], '
            f'"model": {quoted(self.model)}, "parameters": {_encoded(self.parameters)}, '
            f'"prompt_version": {quoted(self.prompt_version)}}}'
        )
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What the model said, and what it took.

    Attributes:
        text: what it said.
        finish_reason: why it stopped, as the endpoint words it.
        prompt_tokens: where the endpoint tells them.
        completion_tokens: where the endpoint tells them.
        seconds: how long it took (s).
        batch: whether it came by a batch interface, at its price.
        cost_usd: what it cost; None: not known.
        model: the model as the endpoint names it.
        refusal: whether the endpoint marks it as a refusal.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0
    batch: bool = False
    cost_usd: float | None = None
    model: str = ""
    refusal: bool = False


REQUEST_FIELDS = tuple(field.name for field in fields(Request))
ANSWER_FIELDS = tuple(field.name for field in fields(Answer))


def answer_in(record: Mapping[str, Any]) -> Answer | None:
    """The answer of a recorded line, be it older or newer than this code; None if it holds none."""
    return answer_of(record.get("answer"))


def answer_of(said: object) -> Answer | None:
    """As `answer_in`, of what stands under `answer`."""
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        return None
    try:
        return Answer(**said)
    except TypeError:
        known = {name: value for name, value in said.items() if name in ANSWER_FIELDS}
        return Answer(**{"finish_reason": "", **known})


def record_of(question: Request, answer: Answer, source: str, size: int | None) -> dict[str, Any]:
    """What is written down of an answer, see `ResponseLedger.record`."""
    return {
        "key": question.key,
        "at": utc_now().isoformat(timespec="seconds"),
        # `asdict` would copy all that they hold.
        "question": {name: getattr(question, name) for name in REQUEST_FIELDS},
        "source": source,
        "size": size,
        "answer": {name: getattr(answer, name) for name in ANSWER_FIELDS},
    }


def lost_request(question: Request, lost: Answer, source: str, size: int | None) -> dict[str, Any]:
    """What is written down of a request that was heard and brought no answer.

    It has a key of its own: the question may be asked again, and then is paid for again.
    """
    record = record_of(question, lost, source, size)
    return {**record, "key": hashlib.sha256(f"{question.key} {uuid.uuid4()}".encode()).hexdigest()}
