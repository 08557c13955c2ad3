"""Reads what an endpoint sends back, and trusts none of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from wavcaps_assets.llm.records import Answer
from wavcaps_assets.masking import MASK, masked, masked_bytes

# The longest body that is read. 200 captions are far shorter.
MAX_BODY_BYTES = 10_000_000
MAX_MESSAGE_CHARS = 200
# Characters of a body that is not a chat completion, which are shown.
MAX_KEPT_CHARS = 2000
# An answer without text ends for one of these reasons, or it is none.
WITHOUT_TEXT = ("length", "content_filter")
FILTERED = "content_filter"
FAILED = "error"


class NoCompletion(Exception):
    """A response with status 200 that holds no answer, as an endpoint sends while it is down.

    Attributes:
        reason: for people.
        error: the error object in the body; None: there is none.
        answer: with the token counts of the body, and its beginning as its text.
    """

    def __init__(self, reason: str, answer: Answer, error: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer
        self.error = error


def read_completion(body: bytes, seconds: float) -> Answer:
    """The answer in a body with status 200.

    Args:
        body: as received.
        seconds: how long the request took (s).

    Raises:
        NoCompletion: the body is too long, is not a chat completion, is an error, or has no text although
            the answer is neither refused nor cut off.
    """
    completion = _object(body := masked_bytes(body))
    seconds = round(seconds, 3)
    if isinstance(completion, str):
        shown = _text(body[: 4 * MAX_KEPT_CHARS].decode("utf-8", "replace"))[:MAX_KEPT_CHARS]
        raise NoCompletion(completion, Answer(f"{completion}\n{shown}", FAILED, seconds=seconds))
    choices = completion.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    message = _mapping(choice.get("message"))
    refusal = _text(message.get("refusal"))
    finish_reason = _line(choice.get("finish_reason"))
    text = refusal or _text(message.get("content"))
    prompt_tokens, completion_tokens = _tokens(_mapping(completion.get("usage")), bool(text))
    answer = Answer(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        seconds=seconds,
        model=_line(completion.get("model") or ""),
        refusal=bool(refusal),
    )
    error = completion.get("error") or choice.get("error")
    if finish_reason == FAILED or (error and not text):
        found = error if isinstance(error, dict) else {"message": error if isinstance(error, str) else ""}
        raise NoCompletion("the endpoint's answer is an error", answer, found)
    if not choice:
        raise NoCompletion("the endpoint's answer has no choice (no_choice)", answer)
    if not text.strip() and finish_reason not in WITHOUT_TEXT:
        raise NoCompletion(f"the answer is empty (finish reason {finish_reason!r})", answer)
    return answer


def _tokens(usage: Mapping[str, Any], text: bool) -> tuple[int | None, int | None]:
    """The tokens in and out. Zeros next to a text are not counts: no answer is made from nothing."""
    counts = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return (None, None) if text and 0 in counts else counts


def _object(body: bytes) -> Mapping[str, Any] | str:
    """The JSON object in a body, or why there is none."""
    if len(body) > MAX_BODY_BYTES:
        return f"the endpoint's answer is too long (over {MAX_BODY_BYTES} bytes)"
    try:
        completion = json.loads(body.decode("utf-8-sig", "replace"))
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


def parameter_in(body: object, sent: Iterable[str]) -> str | None:
    """The parameter that an error is about; None if it is about none, or about the messages.

    Args:
        body: of the error, as the client read it.
        sent: the parameters of the request.
    """
    body = _mapping(body)
    error = _mapping(body.get("error")) or body
    # OpenAI names it in `param`; FastAPI lists the places, each as ["body", name, ...].
    details = error.get("detail")
    places = [_mapping(one).get("loc") for one in details] if isinstance(details, list) else []
    named = [str(error.get("param") or ""), *(str(part) for place in places for part in place or ())]
    names = {re.split(r"[.\[]", name)[0] for name in named}
    return next((name for name in sent if name in names), None)


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
