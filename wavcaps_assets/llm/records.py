"""Requests and answers, and the records of them in the response ledger."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from functools import cached_property
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.messages import Message

ENCODER = json.JSONEncoder(sort_keys=True)
# The finish reason of a request that reached the endpoint and got no answer. It may have been charged.
LOST = "lost"
# Older versions recorded the responses of an endpoint that was down as answers, with these finish reasons.
UNREADABLE = "unreadable"
NO_ANSWER = frozenset({LOST, UNREADABLE, "no_choice", "error"})
VERSION_CHARS = 12

# The parameters that were encoded last: the object, a copy, and their JSON.
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
    """One request to a model. A request that has an answer in the ledger is never sent again.

    Attributes:
        prompt_version: content hash of the prompt. Together with `inputs` it decides the messages.
        model: the model's name at its endpoint.
        parameters: sampling parameters, such as `temperature` and `max_tokens`.
        inputs: the texts that the request is about, in order.
        attempt: counts from 0. A text that is tried again is in a different request.
        conversation: the messages, or a function that makes them from `inputs`. Not part of the key.
    """

    prompt_version: str
    model: str
    parameters: Mapping[str, Any]
    inputs: Sequence[str]
    attempt: int = 0
    conversation: Sequence[Message] | Callable[[Sequence[str]], Sequence[Message]] = field(
        default=(), compare=False, repr=False
    )

    @classmethod
    def of(cls, messages: Sequence[Message], model: str, **parameters: Any) -> Request:
        """A request with any messages: the last one is its input, the others are its prompt."""
        *prompt, last = messages
        version = hashlib.sha256(ENCODER.encode(prompt).encode()).hexdigest()[:VERSION_CHARS]
        return cls(version, model, parameters, [last["content"]], conversation=messages)

    @property
    def messages(self) -> Sequence[Message]:
        """The conversation to send."""
        return self.conversation(self.inputs) if callable(self.conversation) else self.conversation

    @cached_property
    def key(self) -> str:
        """SHA-256 of the fields that decide the answer, as JSON with sorted keys."""
        # The JSON is put together by hand: most of it is the same in 675,000 requests.
        content = (
            f'{{"attempt": {self.attempt}, "inputs": [{", ".join(map(quoted, self.inputs))}], '
            f'"model": {quoted(self.model)}, "parameters": {_encoded(self.parameters)}, '
            f'"prompt_version": {quoted(self.prompt_version)}}}'
        )
        return hashlib.sha256(content.encode()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """The fields that decide the answer, as they are stored. Their values are not copied."""
        return {name: getattr(self, name) for name in REQUEST_FIELDS}


@dataclass(frozen=True)
class Answer:
    """What the model answered, and what it took.

    Attributes:
        text: the answer.
        finish_reason: why it ends, in the endpoint's words.
        prompt_tokens: None: the endpoint does not report them.
        completion_tokens: None: as above.
        seconds: how long it took (s).
        batch: whether it came through a batch interface, at its price.
        cost_usd: its cost; None: not known.
        model: the model's name in the response.
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


REQUEST_FIELDS = ("prompt_version", "model", "parameters", "inputs", "attempt")
ANSWER_FIELDS = tuple(answer_field.name for answer_field in fields(Answer))


def answer_in(record: Mapping[str, Any]) -> Answer | None:
    """The answer in a record, which may be older or newer than this code; None if there is none."""
    return answer_of(record.get("answer"))


def answer_of(stored: object) -> Answer | None:
    """As `answer_in`, from the value under `answer`."""
    if not isinstance(stored, dict) or not isinstance(stored.get("text"), str):
        return None
    try:
        return Answer(**stored)
    except TypeError:
        known = {name: value for name, value in stored.items() if name in ANSWER_FIELDS}
        return Answer(**{"finish_reason": "", **known})


def record_of(request: Request, answer: Answer, source: str, size: int | None) -> dict[str, Any]:
    """The record of an answer, see `ResponseLedger.record`."""
    return {
        "key": request.key,
        "at": utc_now().isoformat(timespec="seconds"),
        "question": request.identity(),
        "source": source,
        "size": size,
        # `asdict` would copy every value.
        "answer": {name: getattr(answer, name) for name in ANSWER_FIELDS},
    }


def lost_record(request: Request, lost: Answer, source: str, size: int | None) -> dict[str, Any]:
    """The record of a request that reached the endpoint and got no answer.

    Its key is unique: the request may be sent again, and is then paid for again.
    """
    record = record_of(request, lost, source, size)
    return {**record, "key": hashlib.sha256(f"{request.key} {uuid.uuid4()}".encode()).hexdigest()}
