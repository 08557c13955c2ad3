"""The lines of a batch: the requests that are uploaded, and the results, which come in any order."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wavcaps_assets.llm.chat import NO_CREDIT, TEMPORARY_STATUSES
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.replies import NoCompletion, error_in, read_completion

ENDPOINT: Final = "/v1/chat/completions"
CANCELLED = ("batch_cancelled", "batch_canceled")
# Every request would be refused for the same reason.
FATAL_CODES = (*NO_CREDIT, "invalid_api_key", "model_not_found")
FATAL_STATUSES = (401, 403, 404)
# The status of a request that a batch has not sent.
NOT_SENT = 0
MAX_SHOWN = 80


@dataclass(frozen=True)
class BatchRequest:
    """One request in a batch.

    Attributes:
        request: its `key` is the `custom_id`.
        source: a label for the ledger.
        size: of the messages, for the ledger.
        pico: its maximum cost (10^-12 USD); None: not known.
    """

    request: Request
    source: str = ""
    size: int | None = None
    pico: int | None = None

    def line(self) -> bytes:
        """The request as a line of a batch's input file."""
        line = {
            "custom_id": self.request.key,
            "method": "POST",
            "url": ENDPOINT,
            "body": {
                "model": self.request.model,
                "messages": list(self.request.messages),
                **self.request.parameters,
            },
        }
        return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"


@dataclass(frozen=True)
class Refusal:
    """Why a request has no answer.

    Attributes:
        reason: for people.
        temporary: whether it may be answered if it is submitted again.
        fatal: whether every request would be refused.
        charged: what the endpoint sent in place of an answer, and charges for; None: nothing is charged.
    """

    reason: str
    temporary: bool
    fatal: bool = False
    charged: Answer | None = None


@dataclass
class Results:
    """The contents of a batch's result files.

    Attributes:
        answers: by key.
        refusals: by key, of requests without an answer.
        processed: the requests that the model's endpoint answered with status 200.
        problems: by kind, the places of lines that are not results of the batch's requests, and files that
            are missing or incomplete.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    processed: set[str] = field(default_factory=set)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def read(self, name: str, data: bytes, keys: Container[str], seconds: float, secret: str) -> None:
        """Reads a file. The first answer to a request counts; an answer replaces an error.

        Args:
            name: which file of the batch it is, for people.
            data: its content.
            keys: of the batch's requests.
            seconds: how long the batch took (s).
            secret: removed from messages, in case the endpoint repeats it.
        """
        known: set[str] = set()
        for number, line in enumerate(data.split(b"\n"), 1):
            if not line.strip():
                continue
            place = f"line {number} of the {name} file"
            result = _object(line)
            if result is None:
                self.problem("not a JSON object", place)
                continue
            key = result.get("custom_id")
            if not isinstance(key, str) or key not in keys:
                self.problem("an unknown custom_id", f"{place}, {str(key)[:MAX_SHOWN]!r}")
                continue
            if key in known:
                self.problem("a second result of the same request", f"{place}, {key!r}")
            known.add(key)
            if key in self.answers:
                continue
            if _status(result) == 200:
                self.processed.add(key)
            outcome = _outcome(result, seconds, secret)
            if isinstance(outcome, Answer):
                self.answers[key] = outcome
                self.refusals.pop(key, None)
            else:
                self.refusals.setdefault(key, outcome)

    def described_problems(self) -> Iterator[str]:
        """A sentence for each kind of problem, with its first place."""
        for kind, places in self.problems.items():
            yield f"{len(places)} x {kind}, first in {places[0]}"

    def problem(self, kind: str, place: str) -> None:
        """Notes what is wrong, and where."""
        self.problems.setdefault(kind, []).append(place)


def described_error(body: object, secret: str) -> tuple[str, str]:
    """An error's code, and a short line with its code and message.

    Args:
        body: as received.
        secret: removed from both, in case the endpoint repeats it.
    """
    code, message = error_in(body, secret)
    code = " ".join((code.replace(secret, "…") if secret else code).split())[:MAX_SHOWN]
    return code, ": ".join(part for part in (code, message) if part)


def split(
    lines: Iterable[tuple[BatchRequest, bytes]], most_requests: int, most_bytes: int
) -> Iterator[list[tuple[BatchRequest, bytes]]]:
    """Groups of lines, in order, within both limits. No line may be longer than `most_bytes`."""
    group: list[tuple[BatchRequest, bytes]] = []
    size = 0
    for request, line in lines:
        if group and (len(group) == most_requests or size + len(line) > most_bytes):
            yield group
            group, size = [], 0
        group.append((request, line))
        size += len(line)
    if group:
        yield group


def _outcome(result: Mapping[str, Any], seconds: float, secret: str) -> Answer | Refusal:
    if result.get("error"):
        # The request was not processed: the batch ended first, or the service failed.
        code, shown = described_error(result["error"], secret)
        return Refusal(
            shown or "the batch gives an error without a reason",
            temporary=code not in CANCELLED,
            fatal=code in FATAL_CODES,
        )
    response = result.get("response")
    if not isinstance(response, dict):
        return Refusal("its line has neither a response nor an error", temporary=True)
    status, body = _status(result), response.get("body")
    if status == NOT_SENT:
        return Refusal("the batch did not send it (status 0)", temporary=True)
    if status != 200:
        code, shown = described_error(body, secret)
        shown = f"the endpoint answered {status!r:.20} {shown}".rstrip()
        if code in FATAL_CODES or status in FATAL_STATUSES:
            return Refusal(shown, temporary=False, fatal=True)
        temporary = isinstance(status, int) and (status in (*TEMPORARY_STATUSES, 429) or status >= 500)
        return Refusal(shown, temporary=temporary)
    try:
        return replace(read_completion(json.dumps(body).encode(), seconds), batch=True)
    except NoCompletion as none:
        failed = none.error is not None
        # An error in place of a completion is not charged, unless its tokens are.
        charged = None if failed and not none.answer.completion_tokens else replace(none.answer, batch=True)
        return Refusal(none.reason, temporary=failed, charged=charged)


def _status(result: Mapping[str, Any]) -> Any:
    """The status of the model's endpoint; None: it was not asked."""
    response = result.get("response")
    return response.get("status_code") if isinstance(response, dict) and not result.get("error") else None


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
