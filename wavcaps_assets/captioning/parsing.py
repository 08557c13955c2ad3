"""Matches a model's answer to the texts of the request. Only certain matches count."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from wavcaps_assets.captioning import echoes
from wavcaps_assets.captioning.alignment import align, is_about_most
from wavcaps_assets.captioning.answer_json import UNINDEXED, looks_like_json, read_json
from wavcaps_assets.captioning.answer_lists import Item, is_cut_short, read_list
from wavcaps_assets.captioning.answer_text import readable
from wavcaps_assets.captioning.prompts import Form, Prompt
from wavcaps_assets.llm.records import UNREADABLE, Answer
from wavcaps_assets.llm.replies import FILTERED
from wavcaps_assets.rules.refusals import is_failure, is_refusal

INNER_INDEX = re.compile(r"(?:^|[\s\"'“”])[(\[]?\d{1,6}[.):\]]\s+\S")
# A caption of 19 words is rarely longer than 150 characters; a list may have some prose around it.
CHARS_A_TEXT = 1000
CHARS_AROUND = 4000
UNDECODED = "\N{REPLACEMENT CHARACTER}"
SHOWN_CHARS = 80


@dataclass(frozen=True)
class Parsed:
    """The part of an answer about one text: a caption, or the problem with it.

    Attributes:
        useless: whether nothing in the whole answer can be used, whatever the text: the model or its
            endpoint does not do what it is asked.
        echo: the beginning of the text as the model repeats it; None: it does not.
    """

    caption: str | None
    problem: str | None = None
    useless: bool = False
    echo: str | None = None


def parse(answer: Answer, texts: Sequence[str], prompt: Prompt) -> list[Parsed]:
    """The parts of an answer about the texts of its request, in their order."""
    count = len(texts)
    if answer.refusal:
        return [_refused(answer.text)] * count
    if answer.finish_reason == UNREADABLE:
        return _useless(answer.text.partition("\n")[0], count)
    if answer.finish_reason == FILTERED:
        return [Parsed(None, "the endpoint's filter stopped the answer")] * count
    if not answer.text.strip():
        return _useless(f"the answer is empty (finish reason {answer.finish_reason!r})", count)
    text = readable(answer.text)
    if not text.strip():
        return _useless("the answer is reasoning only", count)
    if len(text) > CHARS_A_TEXT * count + CHARS_AROUND:
        return _useless(f"the answer is too long ({len(text)} characters)", count)
    found = _read(text, texts, prompt, answer.finish_reason == "length")
    if is_refusal(answer.text) and all(parsed.caption is None for parsed in found):
        return [_refused(answer.text)] * count
    return found


def _read(answer: str, texts: Sequence[str], prompt: Prompt, cut_off: bool) -> list[Parsed]:
    count, short = len(texts), False
    if prompt.form is Form.SINGLE:
        single = Parsed(None, "the answer is cut off") if cut_off else parse_single(answer)
        return [_checked(single, texts[0], prompt)]
    if prompt.form is Form.STRUCTURED:
        found = parse_structured(answer, count, cut_off)
    else:
        items = _items(answer, count, cut_off)
        short = not cut_off and _is_short(items, count)
        found = _matched(items, count, cut_off, short)
        if count > 1 and items and items[0].style == UNINDEXED:
            found, short = _of_own_texts(found, texts), True
    if prompt.echo:
        found = _repeated(found, texts)
    else:
        # A text that is repeated unasked does not replace the test of the words.
        found = [replace(parsed, echo=None) if parsed.echo else parsed for parsed in found]
    checked = [_checked(*pair, prompt) for pair in zip(found, texts, strict=True)]
    checked = _unless_repeated(checked, texts)
    return _unless_shifted(checked, texts, short)


def parse_numbered(answer: str, count: int, cut_off: bool = False) -> list[Parsed]:
    """Matches a numbered list to the `count` texts that were numbered 1 to `count`.

    Lines are matched by index, never by position, and only if each index from 1 to `count` appears once. If
    one is missing, repeated or out of range, the model may have counted differently, and no line is used.
    Prose around the list is skipped.

    Args:
        cut_off: the answer ends too early. Its last line is skipped. The others are used if they count
            from 1 without a gap.

    Returns:
        A result for each text, in their order.
    """
    items = _items(answer, count, cut_off)
    return _matched([item for item in items if item.style != UNINDEXED or count == 1], count, cut_off)


def parse_structured(answer: str, count: int, cut_off: bool = False) -> list[Parsed]:
    """Matches `{"captions": [{"index": 1, "caption": "..."}]}` to the texts, as `parse_numbered` does."""
    if cut_off:
        return [Parsed(None, "the answer is cut off")] * count
    try:
        # Some models put the object in a code block, or a sentence before it.
        data: Any = json.loads(answer[answer.find("{") : answer.rfind("}") + 1])
    except (ValueError, RecursionError):
        return _useless("the answer is not a JSON object", count)
    entries = data.get("captions")
    items = []
    for entry in entries if isinstance(entries, list) else []:
        index, caption = (
            (entry.get("index"), entry.get("caption")) if isinstance(entry, dict) else (None, None)
        )
        if type(index) is not int or not isinstance(caption, str):
            return _useless("the answer does not follow the schema", count)
        first, *lines = caption.strip().splitlines() or [""]
        echo = entry.get("text")
        items.append(Item(index, first, "", lines=lines, echo=echo if isinstance(echo, str) else None))
    return _matched(items, count, False)


def parse_single(answer: str) -> Parsed:
    """The caption in an answer about a single text: the first line that is not empty."""
    if looks_like_json(answer):
        items = read_json(answer, 1)
        return _item(1, items[0], cut_off=False) if len(items) == 1 else Parsed(None, "the answer is JSON")
    lines = [line.strip() for line in answer.splitlines() if line.strip() and not line.startswith("```")]
    if not lines:
        return Parsed(None, "the answer is empty", useless=True)
    return Parsed(None, f"{_shown(lines[0])} is cut off") if is_cut_short(lines[0]) else Parsed(lines[0])


def _items(answer: str, count: int, cut_off: bool) -> list[Item]:
    items = read_list(answer.rpartition("\n")[0] if cut_off else answer, count)
    if not items and not cut_off:
        items = read_json(answer, count)
    if not items and count == 1 and not cut_off and not looks_like_json(answer):
        # A single text may be answered without an index, after a line such as "Here is the caption:".
        lines = [line.strip() for line in answer.splitlines() if line.strip() and not line.startswith("```")]
        captions = [line for line in lines if not line.endswith(":")]
        if len(captions) == 1:
            items = [Item(1, captions[0], "", complete=not is_cut_short(captions[0]))]
    return items


def _of_own_texts(found: Sequence[Parsed], texts: Sequence[str]) -> list[Parsed]:
    """The captions without those that are given with another text than their own."""
    return [
        Parsed(None, f"the answer has this caption for {_shown(parsed.echo)}")
        if parsed.echo is not None and not echoes.repeats(parsed.echo, text)
        else parsed
        for parsed, text in zip(found, texts, strict=True)
    ]


def _is_short(items: Sequence[Item], count: int) -> bool:
    """Whether indices are missing, and none is repeated or out of range."""
    indices = {item.index for item in items}
    return 1 < len(items) == len(indices) < count and indices <= set(range(1, count + 1))


def _matched(items: Sequence[Item], count: int, cut_off: bool, short: bool = False) -> list[Parsed]:
    """The items by index.

    Args:
        short: use the items although some are missing.
    """
    problem = None if short else _miscounted(items, count, cut_off)
    if problem:
        return _useless(problem, count)
    by_index = {item.index: item for item in items}
    return [_item(index, by_index.get(index), cut_off) for index in range(1, count + 1)]


def _miscounted(items: Sequence[Item], count: int, cut_off: bool) -> str | None:
    found = Counter(item.index for item in items)
    strays = sorted(index for index in found if not 1 <= index <= count)
    if strays:
        return f"the list of 1 to {count} contains index {strays[0]}"
    twice = sorted(index for index, times in found.items() if times > 1)
    if twice:
        return f"{found[twice[0]]} lines have index {twice[0]}"
    last = len(found) if cut_off else count
    missing = next((index for index in range(1, last + 1) if index not in found), None)
    return f"no line has index {missing}" if missing else None


def _item(index: int, item: Item | None, cut_off: bool) -> Parsed:
    if item is None:
        return Parsed(
            None, f"the answer is cut off before index {index}" if cut_off else f"no line has index {index}"
        )
    if item.lines:
        return Parsed(None, f"index {index} has several lines")
    if not item.caption:
        return Parsed(None, f"nothing follows index {index}")
    if not item.complete:
        return Parsed(None, f"index {index} is cut off")
    return Parsed(item.caption, echo=item.echo)


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
        return Parsed(None, f"there is a second index in {_shown(caption)}")
    for example in prompt.examples:
        if caption == example.caption and not is_failure(caption) and not _share_a_word(caption, text):
            return Parsed(None, f"the answer is the prompt's example {_shown(caption)}")
    return parsed


def _repeated(found: Sequence[Parsed], texts: Sequence[str]) -> list[Parsed]:
    """The captions without the repeated beginnings of texts, where these are those of their own texts."""
    split = []
    for parsed in found:
        echo, caption = echoes.split(parsed.caption or "")
        split.append(parsed if echo is None else replace(parsed, caption=caption, echo=echo))
    if all(parsed.echo is None for parsed in split):
        return split
    checked = []
    for parsed, text in zip(split, texts, strict=True):
        if parsed.caption is not None and not echoes.repeats(parsed.echo or "", text):
            said = _shown(parsed.echo or "")
            parsed = Parsed(None, f"the answer repeats {said}, which is not the beginning of the text")
        checked.append(parsed)
    return checked


def _unless_repeated(found: list[Parsed], texts: Sequence[str]) -> list[Parsed]:
    captions = {parsed.caption for parsed in found}
    caption, *others = captions
    if len(found) == 1 or others or caption is None or is_failure(caption) or is_about_most(caption, texts):
        return found
    return _useless(f"{len(found)} texts have the caption {_shown(caption)}", len(found))


def _unless_shifted(found: list[Parsed], texts: Sequence[str], short: bool) -> list[Parsed]:
    """The captions of a list, without those that seem to belong to other texts of it.

    Args:
        short: indices are missing, so that only captions that share a word with their text are certain.
    """
    if len(found) == 1 or all(parsed.caption is None for parsed in found):
        return found
    captions = [None if one.caption is None or is_failure(one.caption) else one.caption for one in found]
    alignment = align(texts, captions)
    echoed = all(parsed.caption is None or parsed.echo is not None for parsed in found)
    if echoed and not alignment.ungrounded:
        return found
    if alignment.problem:
        return [Parsed(None, alignment.problem, useless=alignment.ungrounded)] * len(found)
    checked = list(found)
    for place, parsed in enumerate(found):
        if parsed.caption is None:
            continue
        if place in alignment.astray:
            checked[place] = Parsed(None, f"{_shown(parsed.caption)} fits another text of the list")
        elif short and place not in alignment.grounded:
            checked[place] = Parsed(None, "indices are missing, and the caption shares no word with its text")
    return checked


def _share_a_word(caption: str, text: str) -> bool:
    """Whether both have a word of four letters or more with the same start, as "croaks" and "croaking"."""

    def stems(line: str) -> set[str]:
        return {word[:4] for word in re.findall(r"\w{4,}", line.lower())}

    return not stems(caption).isdisjoint(stems(text))


def _useless(problem: str, count: int) -> list[Parsed]:
    return [Parsed(None, problem, useless=True)] * count


def _refused(text: str) -> Parsed:
    return Parsed(None, f"the model refuses: {text[:SHOWN_CHARS]!r}")


def _shown(caption: str) -> str:
    return repr(caption[:SHOWN_CHARS])
