"""Matches a model's answer to the texts of the request. Only certain matches count."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavcaps_assets.captioning.prompts import Form, Prompt
from wavcaps_assets.llm.records import UNREADABLE, Answer
from wavcaps_assets.rules.refusals import is_failure, is_refusal

ITEM = re.compile(
    r"\s*(?:(?:[-*•>]|#{1,6})\s*)?\**[(\[]?(\d{1,6})\**(?:\s*[.):\]-]\**\s*|\s+(?=[\"“A-Z]))(.*)"
)
INNER_INDEX = re.compile(r"(?:^|[\s\"'“”])[(\[]?\d{1,6}[.):\]]\s+\S")
# A caption of 19 words is rarely longer than 150 characters; a list may have some prose around it.
CHARS_A_TEXT = 1000
CHARS_AROUND = 4000
UNDECODED = "\N{REPLACEMENT CHARACTER}"
SHOWN_CHARS = 80


@dataclass(frozen=True)
class Parsed:
    """The part of an answer about one text: a caption, or the problem with it."""

    caption: str | None
    problem: str | None = None


def parse(answer: Answer, texts: Sequence[str], prompt: Prompt) -> list[Parsed]:
    """The parts of an answer about the texts of its request, in their order."""
    count = len(texts)
    if answer.refusal:
        return [_refused(answer.text)] * count
    if answer.finish_reason == UNREADABLE:
        return [Parsed(None, answer.text.partition("\n")[0])] * count
    if answer.finish_reason == "content_filter":
        return [Parsed(None, "the endpoint's filter stopped the answer")] * count
    if not answer.text.strip():
        return [Parsed(None, f"the answer is empty (finish reason {answer.finish_reason!r})")] * count
    if len(answer.text) > CHARS_A_TEXT * count + CHARS_AROUND:
        return [Parsed(None, f"the answer is too long ({len(answer.text)} characters)")] * count
    cut_off = answer.finish_reason == "length"
    if prompt.form is Form.NUMBERED_LIST:
        found = parse_numbered(answer.text, count, cut_off)
    elif prompt.form is Form.STRUCTURED:
        found = parse_structured(answer.text, count, cut_off)
    else:
        found = [Parsed(None, "the answer is cut off") if cut_off else parse_single(answer.text)]
    if is_refusal(answer.text) and all(parsed.caption is None for parsed in found):
        return [_refused(answer.text)] * count
    return _unless_repeated([_checked(*pair, prompt) for pair in zip(found, texts, strict=True)])


def parse_numbered(answer: str, count: int, cut_off: bool = False) -> list[Parsed]:
    """Matches a numbered list to the `count` texts that were numbered 1 to `count`.

    Lines are matched by index, never by position, and only if each index from 1 to `count` appears once. If
    one is missing, repeated or out of range, the model may have counted differently, and no line is used.
    Lines before the list, and lines after a blank line, are skipped.

    Args:
        cut_off: the answer ends too early. Its last line is skipped. The others are used if they count
            from 1 without a gap.

    Returns:
        A result for each text, in their order.
    """
    found: dict[int, list[str]] = {}
    trailing: set[int] = set()
    current: int | None = None
    for line in (answer.rpartition("\n")[0] if cut_off else answer).splitlines():
        item = ITEM.match(line)
        if item:
            current = int(item[1])
            found.setdefault(current, []).append(item[2].strip(" \t*"))
        elif not line.strip() or line.startswith("```"):
            current = None
        elif current is not None:
            trailing.add(current)
    return _matched(found, trailing, count, cut_off)


def parse_structured(answer: str, count: int, cut_off: bool = False) -> list[Parsed]:
    """Matches `{"captions": [{"index": 1, "caption": "..."}]}` to the texts, as `parse_numbered` does."""
    if cut_off:
        return [Parsed(None, "the answer is cut off")] * count
    try:
        # Some models put the object in a code block, or a sentence before it.
        data: Any = json.loads(answer[answer.find("{") : answer.rfind("}") + 1])
    except (ValueError, RecursionError):
        return [Parsed(None, "the answer is not a JSON object")] * count
    items = data.get("captions")
    found: dict[int, list[str]] = {}
    trailing = set()
    for item in items if isinstance(items, list) else []:
        index, caption = (item.get("index"), item.get("caption")) if isinstance(item, dict) else (None, None)
        if type(index) is not int or not isinstance(caption, str):
            return [Parsed(None, "the answer does not follow the schema")] * count
        found.setdefault(index, []).append(caption.strip())
        if len(caption.strip().splitlines()) > 1:
            trailing.add(index)
    return _matched(found, trailing, count, False)


def parse_single(answer: str) -> Parsed:
    """The caption in an answer about a single text: the first line that is not empty."""
    lines = [line.strip() for line in answer.splitlines() if line.strip() and not line.startswith("```")]
    return Parsed(lines[0]) if lines else Parsed(None, "the answer is empty")


def _matched(
    found: Mapping[int, Sequence[str]], several_lines: set[int], count: int, cut_off: bool
) -> list[Parsed]:
    problem = _miscounted(found, count, cut_off)
    if problem:
        return [Parsed(None, problem)] * count
    return [_item(index, found.get(index), index in several_lines) for index in range(1, count + 1)]


def _miscounted(found: Mapping[int, Sequence[str]], count: int, cut_off: bool) -> str | None:
    strays = sorted(index for index in found if not 1 <= index <= count)
    if strays:
        return f"the list of 1 to {count} contains index {strays[0]}"
    twice = sorted(index for index, captions in found.items() if len(captions) > 1)
    if twice:
        return f"{len(found[twice[0]])} lines have index {twice[0]}"
    last = len(found) if cut_off else count
    missing = next((index for index in range(1, last + 1) if index not in found), None)
    return f"no line has index {missing}" if missing else None


def _item(index: int, captions: Sequence[str] | None, several_lines: bool) -> Parsed:
    if captions is None:
        return Parsed(None, f"the answer is cut off before index {index}")
    if several_lines:
        return Parsed(None, f"index {index} has several lines")
    if not captions[0]:
        return Parsed(None, f"nothing follows index {index}")
    return Parsed(captions[0])


def _checked(parsed: Parsed, text: str, prompt: Prompt) -> Parsed:
    """The caption, unless it is not a caption of any text."""
    caption = parsed.caption
    if caption is None:
        return parsed
    if is_refusal(caption):
        return _refused(caption)
    # A JSON string may contain a lone surrogate, which no table can store.
    if not caption.isascii() and (
        UNDECODED in caption or any("\ud800" <= char <= "\udfff" for char in caption)
    ):
        return Parsed(None, "the answer contains bytes that are not text")
    if INNER_INDEX.search(caption):
        return Parsed(None, f"there is a second index in {caption[:SHOWN_CHARS]!r}")
    for example in prompt.examples:
        if caption == example.caption and not is_failure(caption) and not _share_a_word(caption, text):
            return Parsed(None, f"the answer is the prompt's example {caption[:SHOWN_CHARS]!r}")
    return parsed


def _unless_repeated(found: list[Parsed]) -> list[Parsed]:
    captions = {parsed.caption for parsed in found}
    (caption, *others) = captions
    if len(found) == 1 or others or caption is None or is_failure(caption):
        return found
    return [Parsed(None, f"{len(found)} texts have the caption {caption[:SHOWN_CHARS]!r}")] * len(found)


def _share_a_word(caption: str, text: str) -> bool:
    """Whether both have a word of four letters or more with the same start, as "croaks" and "croaking"."""

    def stems(line: str) -> set[str]:
        return {word[:4] for word in re.findall(r"\w{4,}", line.lower())}

    return not stems(caption).isdisjoint(stems(text))


def _refused(text: str) -> Parsed:
    return Parsed(None, f"the model refuses: {text[:SHOWN_CHARS]!r}")
