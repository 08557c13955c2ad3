"""Reads what an endpoint sends back, and trusts none of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wavcaps_assets.llm.records import Answer
from wavcaps_assets.masking import MASK, masked, masked_bytes

# The longest body that is read. 200 captions are far shorter.
MAX_BODY_BYTES = 10_000_000
MAX_MESSAGE_CHARS = 200

# The finish reason of a body that is not a chat completion. It was paid for like one.
UNREADABLE = "unreadable"
# Characters of such a body that are kept.
MAX_KEPT_CHARS = 2000


def read_completion(body: bytes, seconds: float) -> Answer:
    """The answer in a body with status 200.

    A body that is too long, or is not a JSON object, is an answer as well: the first line of its text
    says what is wrong, and the beginning of the body follows.

    Args:
        body: as received.
        seconds: how long the request took (s).
    """
    completion = _object(body := masked_bytes(body))
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
    """The JSON object in a body, or why there is none."""
    if len(body) > MAX_BODY_BYTES:
        return f"the endpoint's answer is too long (over {MAX_BODY_BYTES} bytes)"
    try:
        completion = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return f"the endpoint's answer is not JSON ({len(body)} bytes)"
    return completion if isinstance(completion, dict) else "the endpoint's answer is not a JSON object"


def error_in(body: object, secret: str) -> tuple[str, str]:
    """The code and the message of an error, each on one line; empty if missing.

    Args:
        body: as the client read it.
        secret: removed from the message, in case the endpoint repeats it.
    """
    error = _mapping(body)
    error = _mapping(error.get("error")) or error

    def line(value: object) -> str:
        text = " ".join(_text(value).split())
        return masked(text.replace(secret, MASK) if secret else text)[:MAX_MESSAGE_CHARS]

    return line(error.get("code") or error.get("type")), line(error.get("message"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(content: object) -> str:
    """A message's content: a text, or the texts among its parts. Lone surrogates are replaced."""
    if isinstance(content, list):
        content = "".join(_text(_mapping(part).get("text")) for part in content)
    if not isinstance(content, str):
        return ""
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _line(value: object) -> str:
    return _text(str(value))[:MAX_MESSAGE_CHARS]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
