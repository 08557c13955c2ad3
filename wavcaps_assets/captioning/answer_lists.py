"""Reads the captions and their indices out of an answer: a numbered list or a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

# A line that starts with an index: "1. ", "(1) ", "**1:** ", "- 1) ", "Index 1: ", "1" alone, "1 A dog".
ITEM = re.compile(
    r"""
    \s*(?:(?:[-*•>+]|\#{1,6})\s*)?[*_]*                # a bullet, a heading, bold
    (?i:(?P<word>index|item|caption|text|output|answer|sentence|sound|description|no\.|number)\s+)?
    [(\[<\#]?(?P<index>\d{1,6})[*_]*
    (?:\s*(?P<after>[.):\]>\uff0e\uff09\uff1a、\-–—|→])[.):\]]*[*_]*\s*|\s+(?=["“A-Z])|\s*$)
    (?P<caption>.*)
    """,
    re.VERBOSE,
)
TABLE_ROW = re.compile(r"\s*\|(.+)\|\s*")
# The index, the text if the model repeats it, and the caption.
MOST_CELLS = 3
FENCE = "```"
TABLE = "table"
ENDED = re.compile(r"""[.!?…]["'”’)*_]*\s*$""")
# A sentence does not end with one of these.
DANGLING = re.compile(
    r"\b(?:an?|the|is|are|was|were|and|or|of|with|while|as|from|at|into|its|their)", re.IGNORECASE
)
# The share of a list that shows how it is written: with full stops, with blank lines.
MOSTLY = 0.8


@dataclass
class Item:
    """A caption under an index.

    Attributes:
        caption: without the index; empty if nothing follows it.
        style: how the index is written.
        after_blank: whether a blank line is before it.
        lines: further lines.
        complete: whether it does not look cut off.
        echo: the text, if the model repeats it in a cell or a field of its own.
    """

    index: int
    caption: str
    style: str
    after_blank: bool = False
    lines: list[str] = field(default_factory=list)
    complete: bool = True
    echo: str | None = None


def read_list(answer: str, count: int) -> list[Item]:
    """The items of an answer about `count` texts, in the order in which they are written.

    Prose before and after the list is left out, also if it starts with a number: its number is written in
    another way than the first item's, or it is alone after a blank line.
    """
    lines = answer.splitlines()
    items = _of_one_style(lines)
    if not items:
        return []
    items = _without_prose(items, count)
    last = items[-1]
    if last.lines and ENDED.search(last.caption):
        last.lines = []
    last.complete = _is_complete(last, items[:-1])
    return items


def is_cut_short(caption: str) -> bool:
    """Whether a caption ends in the middle of a sentence."""
    return not ENDED.search(caption) and DANGLING.fullmatch(caption.rpartition(" ")[2]) is not None


def _of_one_style(lines: Sequence[str]) -> list[Item]:
    """The items whose index is written as that of index 1; other lines are part of the item before them."""
    numbered = [_item(line) for line in lines]
    style = next((item.style for item in numbered if item and item.index == 1), None)
    if style is None:
        styles = Counter(item.style for item in numbered if item)
        style = next((name for name, _ in styles.most_common(1)), None)
    items: list[Item] = []
    blank = False
    for line, item in zip(lines, numbered, strict=True):
        if item and item.style == style:
            item.after_blank = blank and bool(items)
            items.append(item)
            blank = False
        elif not line.strip() or line.strip().startswith(FENCE):
            blank = True
        elif items and not items[-1].caption:
            items[-1].caption = _stripped(line)
            blank = False
        elif items and not blank:
            items[-1].lines.append(line)
    return items


def _item(line: str) -> Item | None:
    if row := TABLE_ROW.fullmatch(line):
        cells = [cell.strip() for cell in row[1].split("|")]
        index = cells[0].strip("*.) ")
        if 1 < len(cells) <= MOST_CELLS and index.isdecimal():
            return Item(int(index), _stripped(cells[-1]), TABLE, echo=cells[1] if len(cells) > 2 else None)
        return None
    found = ITEM.match(line)
    if found is None:
        return None
    style = f"{(found['word'] or '').lower()}{found['after'] or ''}"
    return Item(int(found["index"]), _stripped(found["caption"]), style)


def _stripped(caption: str) -> str:
    return caption.strip(" \t*_")


def _without_prose(items: list[Item], count: int) -> list[Item]:
    """The items without numbered prose after a blank line.

    In a list without blank lines between its items, a blank line ends the list, unless several items follow
    and go on counting.
    """
    parts: list[list[Item]] = []
    for item in items:
        if item.after_blank or not parts:
            parts.append([])
        parts[-1].append(item)
    if len(parts) - 1 >= MOSTLY * (len(items) - 1):
        return items
    kept = parts[0]
    for part in parts[1:]:
        if {item.index for item in kept} == set(range(1, count + 1)):
            break
        if len(part) > 1 or part[0].index in {item.index for item in kept}:
            kept = kept + part
    return kept


def _is_complete(last: Item, others: Sequence[Item]) -> bool:
    if ENDED.search(last.caption) or not last.caption:
        return True
    ended = sum(ENDED.search(item.caption) is not None for item in others)
    mostly = len(others) > 1 and ended >= MOSTLY * len(others)
    return not mostly and not is_cut_short(last.caption)
