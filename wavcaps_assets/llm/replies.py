"""What an endpoint sends back, read without trusting any of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wavcaps_assets.llm.ledger import Answer

# The longest body that is read as an answer: 200 captions with all that an endpoint adds are far less.
MAX_BODY_BYTES = 10_000_000
MAX_MESSAGE_CHARS = 200


# The finish reason of a body that is no chat completion; it was paid for like one.
UNREADABLE = "unreadable"
# What is kept of such a body.
MAX_KEPT_CHARS = 2000


def read_completion(body: bytes, seconds: float) -> Answer:
    """The answer in a body that came with status 200.

    A body that is no JSON object, or too long, is an answer as well: its text says on its first line what
    is wrong, and shows how the body begins.

    Args:
        body: as it came.
        seconds: how long it took (s).
    """
    completion = _object(body)
    if isinstance(completion, str):
        shown = _text(body[: 4 * MAX_KEPT_CHARS].decode("utf-8", "replace"))[:MAX_KEPT_CHARS]
        return Answer(f"{completion}\n{shown}", UNREADABLE, seconds=round(seconds, 3))
    choices = completion.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else None
    message = _mapping(choice.get("message")) if choice else {}
    refusal = _text(message.get("refusal"))
    usage = _mapping(completion.get("usage"))
    return Answer(
        text=refusal or _text(message.get("content")),
        finish_reason=_line(choice.get("finish_reason")) if choice is not None else "no_choice",
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        seconds=round(seconds, 3),
        model=_line(completion.get("model") or ""),
        refusal=bool(refusal),
    )


def _object(body: bytes) -> Mapping[str, Any] | str:
    """The object that a body holds, or why it holds none."""
    if len(body) > MAX_BODY_BYTES:
        return f"the endpoint's answer is too long (over {MAX_BODY_BYTES} bytes)"
    try:
        completion = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return f"the endpoint's answer is no JSON ({len(body)} bytes)"
    return completion if isinstance(completion, dict) else "the endpoint's answer is no JSON object"


def error_in(body: object, secret: str) -> tuple[str, str]:
    """The code and the message of an error, on one line; empty where it has none.

    Args:
        body: what the client made of it.
        secret: what must not be told, should the endpoint repeat it.
    """
    error = _mapping(body)
    error = _mapping(error.get("error")) or error

    def line(said: object) -> str:
        text = " ".join(_text(said).split())
        return (text.replace(secret, "…") if secret else text)[:MAX_MESSAGE_CHARS]

    return line(error.get("code") or error.get("type")), line(error.get("message"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(content: object) -> str:
    """A message's content: a text, or the texts among its parts. Half surrogates cannot be stored."""
    if isinstance(content, list):
        content = "".join(_text(_mapping(part).get("text")) for part in content)
    if not isinstance(content, str):
        return ""
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _line(value: object) -> str:
    return _text(str(value))[:MAX_MESSAGE_CHARS]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
