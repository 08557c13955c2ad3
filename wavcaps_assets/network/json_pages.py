"""JSON with a damaged part: the rest of its list can still be read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

# The list of a page, such as `"results": [{`.
LIST = re.compile(r'"[A-Za-z_]{1,40}"\s*:\s*\[\s*(?=\{)')
FIRST_KEY = re.compile(r'\{\s*"(?:[^"\\]|\\.){1,60}"\s*:')
BETWEEN = re.compile(r"[\s,]*")
AFTER = re.compile(r"\s*[,\]]")
END = re.compile(r"\}\s*\](?=\s*[,}])")
ID = re.compile(r'"id"\s*:\s*(?:(\d{1,18})|"([A-Za-z0-9_-]{1,64})")\s*[,}]')
# Control characters in a text are a small fault, which costs nothing.
DECODER = json.JSONDecoder(strict=False)
SURROGATES = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class DamagedItem:
    """An object of a list that cannot be read, in its place.

    Attributes:
        problem: what is wrong.
        id: its number or name, if that can be read.
        place: where it begins on the page (characters).
    """

    problem: str
    id: int | str | None
    place: int


def parse(body: bytes) -> Any:
    """Parses JSON. An object of a page's list that is damaged becomes a `DamagedItem`.

    Raises:
        ValueError: it is not JSON, or damaged in another place, or cut off.
    """
    try:
        return json.loads(body)
    except ValueError:
        isolated = _isolated(body.decode("utf-8-sig", errors="surrogateescape"))
        if isolated is None:
            raise
        return isolated


def is_damaged(answer: Any) -> bool:
    """Whether a part of an answer could not be read."""
    lists = answer.values() if isinstance(answer, dict) else ()
    return any(isinstance(item, DamagedItem) for each in lists if isinstance(each, list) for item in each)


def _isolated(text: str) -> Any:
    found = LIST.search(text)
    if found is None:
        return None
    read = _items(text, found.end())
    if read is None:
        return None
    items, end = read
    around = text[: found.end()] + text[end:]
    if SURROGATES.search(around):
        return None
    try:
        answer = DECODER.decode(around)
    except ValueError:
        return None
    name = found[0].split('"')[1]
    if not isinstance(answer, dict) or answer.get(name) != []:
        return None
    return {**answer, name: items}


def _items(text: str, start: int) -> tuple[list[Any], int] | None:
    """The objects of a list, and where its `]` is; None if the list does not end."""
    first = FIRST_KEY.match(text, start)
    if first is None:
        return None
    # The objects of a list begin with the same key. In a text, its quotation marks would be escaped.
    following = re.compile(rf",\s*(?={re.escape(first[0])})")
    items: list[Any] = []
    place = start
    while (match := BETWEEN.match(text, place)) and not text.startswith("]", match.end()):
        place = match.end()
        try:
            item, end = DECODER.raw_decode(text, place)
            problem = "it has bytes that are not UTF-8" if SURROGATES.search(text, place, end) else ""
            if not AFTER.match(text, end):
                problem = "it is not JSON"
        except ValueError:
            problem = "it is not JSON"
        if problem == "it is not JSON":
            after = following.search(text, place + 1)
            closed = None if after else END.search(text, place)
            if after is None and closed is None:
                return None
            end = after.start() if after else closed.end() - 1 if closed else 0
        if problem:
            found = ID.search(text, place, end)
            known = None if found is None else int(found[1]) if found[1] else found[2]
            item = DamagedItem(problem, known, place)
        items.append(item)
        place = end
    return (items, match.end()) if match else None
