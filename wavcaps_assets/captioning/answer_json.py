"""Reads captions out of an answer in JSON, whatever the model calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wavcaps_assets.captioning.answer_lists import Item

INDEX_KEYS = ("index", "id", "number", "no", "item")
# Without an index in a key of its own: "caption_1", "Item 2".
NUMBERED_KEY = re.compile(
    r"(?:index|item|caption|text|output|answer|sentence|sound|description|no|number)?[\s_#.:-]*"
    r"(\d{1,6})[.):]?",
    re.IGNORECASE,
)
# The first of these that an object has is the caption, after any other key with "caption" in it.
CAPTION_KEYS = ("caption", "sentence", "output", "answer", "description", "text")
# What the model repeats of the question, next to a caption.
TEXT_KEYS = ("text", "input", "description", "original", "source")
STARTS = re.compile(r"[\[{]")
# Brackets in prose are not JSON.
LOOKS_LIKE_JSON = re.compile(r"\s*(?:```\w*\s*)?(?:\{\s*[\"'}]|\[\s*[\[{\"'\]])")
MOST_STARTS = 20
INDEXED, UNINDEXED = "JSON", "JSON without indices"


class NotCaptions(ValueError):
    """A JSON value that holds no captions, or cannot be relied on."""


def looks_like_json(answer: str) -> bool:
    return LOOKS_LIKE_JSON.match(answer) is not None


def read_json(answer: str, count: int) -> list[Item]:
    """The captions of an answer about `count` texts; nothing if it is not JSON, or unclear.

    Captions without indices are counted in their order, if there are `count` of them. Their style is
    `UNINDEXED`, and nothing but their words shows which texts they are about.
    """
    for values in _values(answer):
        data = values[0] if len(values) == 1 else values
        try:
            items = list(_items(data, count))
        except (NotCaptions, RecursionError):
            continue
        if [item.index for item in items] == list(range(count)):
            # Counted from 0, which has to be shown by the words.
            return [replace(item, index=item.index + 1, style=UNINDEXED) for item in items]
        if items:
            return items
    return []


def _values(answer: str) -> Iterator[list[Any]]:
    """The JSON values from each bracket on that starts one: several, if there is one on each line."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates)
    for tried, start in enumerate(STARTS.finditer(answer)):
        if tried == MOST_STARTS:
            return
        values, place = [], start.start()
        try:
            while place < len(answer) and answer[place] in "[{":
                value, place = decoder.raw_decode(answer, place)
                values.append(value)
                rest = answer[place:]
                place += len(rest) - len(rest.lstrip(" \t\r\n,"))
        except (ValueError, RecursionError):
            continue
        yield values


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Python would keep the last one: the captions under one index, for example.
        raise ValueError("a key is there twice")
    return found


def _items(data: Any, count: int) -> Iterable[Item]:
    if isinstance(data, Mapping):
        return _of_object(data, count)
    if isinstance(data, list):
        return _of_list(data, count)
    raise NotCaptions


def _of_list(entries: Sequence[Any], count: int) -> Iterable[Item]:
    numbers = [_index(entry) if isinstance(entry, Mapping) else None for entry in entries]
    if entries and None not in numbers:
        return [_item(number, entry, INDEXED) for number, entry in zip(numbers, entries, strict=True)]
    if len(entries) == 1 and isinstance(entries[0], Mapping | list):
        return _items(entries[0], count)
    if len(entries) > 1 and all(isinstance(entry, Mapping) and len(entry) == 1 for entry in entries):
        # [{"1": "A dog barks."}, {"2": ...}]
        keys = [next(iter(entry)) for entry in entries]
        if all(_number(key) is not None for key in keys):
            return [item for entry in entries for item in _of_object(entry, count)]
    if len(entries) != count or any(number is not None for number in numbers):
        raise NotCaptions
    return [_item(place, entry, UNINDEXED) for place, entry in enumerate(entries, 1)]


def _of_object(data: Mapping[str, Any], count: int) -> Iterable[Item]:
    if (number := _index(data)) is not None:
        return [_item(number, data, INDEXED)]
    numbered = [(number, value) for key, value in data.items() if (number := _number(key)) is not None]
    if numbered:
        return [_item(number, value, INDEXED) for number, value in numbered]
    inner = [value for value in data.values() if isinstance(value, list | Mapping)]
    if len(inner) == 1:
        # {"captions": [...]}, {"results": {"1": ...}}
        return _items(inner[0], count)
    if count == 1 and _caption_in(data)[0] is not None:
        return [_item(1, data, INDEXED)]
    if len(data) != count or not all(isinstance(value, str) for value in data.values()):
        raise NotCaptions
    # {"dog in a yard": "A dog is barking.", ...}
    return [
        _item(place, {"caption": caption, "text": text}, UNINDEXED)
        for place, (text, caption) in enumerate(data.items(), 1)
    ]


def _item(index: int | None, value: Any, style: str) -> Item:
    caption, echo = value, None
    if isinstance(value, Mapping):
        caption, echo = _caption_in(value)
    if not isinstance(caption, str) or index is None:
        raise NotCaptions
    first, *lines = caption.strip().splitlines() or [""]
    return Item(index, first, style, lines=lines, echo=echo)


def _caption_in(data: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The caption in an object, and the text if the object repeats it."""
    keys = [key for key in data if "caption" in key.lower()]
    keys += [key for key in CAPTION_KEYS if key in data]
    key = next((key for key in keys if isinstance(data[key], str)), None)
    if key is None:
        return None, None
    echo = next((data[one] for one in TEXT_KEYS if one != key and isinstance(data.get(one), str)), None)
    return data[key], echo


def _index(data: Mapping[str, Any]) -> int | None:
    return _number(next((data[key] for key in INDEX_KEYS if key in data), None))


def _number(value: object) -> int | None:
    if isinstance(value, str):
        found = NUMBERED_KEY.fullmatch(value.strip())
        return int(found[1]) if found else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
