"""What a model's answer says, text by text."""

from __future__ import annotations

import re
from dataclasses import dataclass

ITEM = re.compile(r"\s*(?:[-*•]\s*)?\**(\d{1,6})\**\s*[.):\]-]\**\s*(.*)")
FAILURE = re.compile(r"[\"'“*\s]*failure(?:[\"'”*\s]*$|\s*[.!,:;(-])", re.IGNORECASE)


@dataclass(frozen=True)
class Parsed:
    """What an answer says of one text: a caption, or why there is none."""

    caption: str | None
    problem: str | None = None


def is_failure(caption: str) -> bool:
    """Whether the model says that the text is not about a sound: "Failure." (Table I)."""
    return FAILURE.match(caption) is not None


def parse_numbered(answer: str, count: int) -> list[Parsed]:
    """Matches a numbered list to the `count` texts that were numbered 1 to `count`.

    An answer is matched by its index only, never by its place. An index that is missing or stands
    twice costs its own text; an index out of range means that the model counted differently, and
    then no line of the list is believed. Lines before the list, and lines that a blank line divides
    from it, are passed over.

    Returns:
        One result for each text, in the order of the texts.
    """
    found: dict[int, list[str]] = {}
    trailing: set[int] = set()
    current: int | None = None
    for line in answer.splitlines():
        item = ITEM.match(line)
        if item:
            current = int(item[1])
            found.setdefault(current, []).append(item[2].strip())
        elif not line.strip():
            current = None
        elif current is not None:
            trailing.add(current)
    strays = sorted(index for index in found if not 1 <= index <= count)
    if strays:
        return [Parsed(None, f"the list of 1 to {count} holds index {strays[0]}")] * count
    return [_parsed(index, found.get(index, []), index in trailing) for index in range(1, count + 1)]


def _parsed(index: int, captions: list[str], several_lines: bool) -> Parsed:
    if not captions:
        return Parsed(None, f"no line has index {index}")
    if len(captions) > 1:
        return Parsed(None, f"{len(captions)} lines have index {index}")
    if several_lines:
        return Parsed(None, f"index {index} has several lines")
    if not captions[0]:
        return Parsed(None, f"nothing follows index {index}")
    return Parsed(captions[0])


def parse_single(answer: str) -> Parsed:
    """The caption of an answer to a single text: its first line that is not empty."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return Parsed(lines[0]) if lines else Parsed(None, "the answer is empty")
