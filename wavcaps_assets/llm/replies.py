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
# The beginning of a server-sent event.
STREAM = re.compile(r"\s*(?:data|event|id|retry)?:")
TEXT_PARTS = (None, "text", "output_text")
MESSAGE_KEYS = ("message", "error_msg", "msg", "detail")
CODE_KEYS = ("code", "error_code", "status_code", "type")
NO_ERROR = (0, 200, "0", "200", "ok", "OK", "success")


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
    # A piece of a stream has a `delta`; the endpoint of older models writes `text`.
    message = _mapping(choice.get("message") or choice.get("delta"))
    refusal = _text(message.get("refusal")) or _refusal_in(message.get("content"))
    finish_reason = _line(choice.get("finish_reason"))
    text = refusal or _text(message.get("content")) or _text(choice.get("text"))
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
    error = _error_in(completion, choice)
    if finish_reason == FAILED or error:
        # Also next to a text, which may be the half of an answer.
        raise NoCompletion("the endpoint's answer is an error", answer, error or {"message": ""})
    if not choice:
        raise NoCompletion("the endpoint's answer has no choice (no_choice)", answer)
    if not text.strip() and finish_reason not in WITHOUT_TEXT:
        raise NoCompletion(f"the answer is empty (finish reason {finish_reason!r})", answer)
    return answer


def _tokens(usage: Mapping[str, Any], text: bool) -> tuple[int | None, int | None]:
    """The tokens in and out. Zeros next to a text are not counts: no answer is made from nothing."""
    counts = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return (None, None) if text and 0 in counts else counts


def _error_in(completion: Mapping[str, Any], choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error in a body, in the forms of OpenAI, vLLM, FastAPI, GraphQL, Cloudflare and Baidu."""
    errors = completion.get("errors")
    error = (
        completion.get("error") or choice.get("error") or (errors[0] if isinstance(errors, list) else errors)
    )
    if not error and (completion.get("object") == "error" or not choice):
        error = completion.get("detail")
        if not error and any(isinstance(completion.get(key), str) for key in MESSAGE_KEYS):
            error = completion
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, Mapping):
        message = next((error[key] for key in MESSAGE_KEYS if isinstance(error.get(key), str)), "")
        code = next((error[key] for key in CODE_KEYS if error.get(key) is not None), None)
        # Some endpoints always send an error, which says that there is none.
        harmless = choice and (code in NO_ERROR if code is not None else not message)
        return None if harmless else {**error, "code": code, "message": message}
    return {"message": str(error)} if error else None


def _refusal_in(content: object) -> str:
    parts = content if isinstance(content, list) else []
    return "".join(_text(_mapping(part).get("refusal")) for part in parts)


def _from_stream(body: str) -> Mapping[str, Any] | None:
    """The chat completion that the events of a stream make; None if they are not one.

    Some endpoints stream an answer although they are not asked to.
    """
    whole: dict[str, Any] = {}
    choice: dict[str, Any] = {"message": {}}
    for line in body.splitlines():
        _, found, data = line.partition("data:")
        if not line.startswith("data:") or not found or data.strip() == "[DONE]":
            continue
        try:
            piece = _mapping(json.loads(data))
        except (ValueError, RecursionError):
            return None
        whole |= {key: value for key, value in piece.items() if value is not None and key != "choices"}
        choices = piece.get("choices")
        first = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
        if first.get("index", 0) != 0:
            continue
        choice |= {key: first[key] for key in ("finish_reason", "error") if first.get(key) is not None}
        said = _mapping(first.get("delta") or first.get("message"))
        for key in ("content", "refusal"):
            choice["message"][key] = choice["message"].get(key, "") + _text(said.get(key))
    if "error" not in whole and not choice.get("finish_reason"):
        return None
    return {**whole, "choices": [choice]}


def _object(body: bytes) -> Mapping[str, Any] | str:
    """The JSON object in a body, or why there is none."""
    if len(body) > MAX_BODY_BYTES:
        return f"the endpoint's answer is too long (over {MAX_BODY_BYTES} bytes)"
    text = body.decode("utf-8-sig", "replace")
    if STREAM.match(text):
        return _from_stream(text) or "the endpoint streams its answer, and the stream breaks off"
    try:
        completion = json.loads(text)
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
        content = "".join(map(_part, content))
    if not isinstance(content, str):
        return ""
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _part(part: object) -> str:
    """The text of a part of a message: `{"type": "text", "text": "..."}`. Reasoning is none."""
    if isinstance(part, str):
        return part
    found = _mapping(part)
    if found.get("type") not in TEXT_PARTS:
        return ""
    text = found.get("text")
    return _text(_mapping(text).get("value") if isinstance(text, dict) else text)


def _line(value: object) -> str:
    return _text(str(value))[:MAX_MESSAGE_CHARS]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
