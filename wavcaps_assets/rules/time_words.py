"""Words of time in a caption: its parts, what it says about their order, and which labels they are about."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib import resources

from wavcaps_assets.caption_metrics.stems import stem
from wavcaps_assets.rules.reading import WORD

LISTS = tomllib.loads(
    (resources.files("wavcaps_assets.rules") / "time_words.toml").read_text(encoding="utf-8")
)


class Said(StrEnum):
    """What a caption says about two of its parts."""

    THEN = "then"
    BEFORE = "before"
    TOGETHER = "together"


# What is said about the part before the words and the part after them; a longer one comes first.
ORDER_WORDS: Mapping[str, Said] = {
    "at the same time as": Said.TOGETHER,
    "at the same time": Said.TOGETHER,
    "followed by": Said.THEN,
    "then": Said.THEN,
    "later": Said.THEN,
    "afterwards": Said.THEN,
    "afterward": Said.THEN,
    "subsequently": Said.THEN,
    "next": Said.THEN,
    "after which": Said.THEN,
    "before": Said.BEFORE,
    "prior to": Said.BEFORE,
    # What lasts until something else began before it.
    "until": Said.BEFORE,
    "while": Said.TOGETHER,
    "whilst": Said.TOGETHER,
    "as": Said.TOGETHER,
    "during": Said.TOGETHER,
    "meanwhile": Said.TOGETHER,
    "simultaneously": Said.TOGETHER,
    # What comes after these words was first.
    "after": Said.THEN,
    "preceded by": Said.THEN,
}
REVERSED = frozenset({"after", "preceded by"})
# They may also be at the end of what they are about: "A dog barks and a car passes afterwards".
ADVERBS = frozenset(
    {"later", "afterwards", "afterward", "subsequently", "meanwhile", "simultaneously", "at the same time"}
)
# Where these words say something else.
IDIOMS: Sequence[str] = LISTS["idioms"]
# "A dog barks as it walks", "while walking", "while in a car": one subject, and no word on a second sound.
NOUNS_IN_ING = "|".join(LISTS["nouns_in_ing"])
SAME_SUBJECT = (
    *(f"{words} (?:he|she|it|they)" for words in ("as", "while", "whilst", "at the same time as")),
    *(
        rf"{word} (?:in|on|at|(?:also |still )?(?!(?:{NOUNS_IN_ING})\b)[a-z]+ing)"
        for word in ("while", "whilst")
    ),
)
# Not "in the next room" or "next to".
NEXT = r"next(?:(?<=[,;.] next)|(?<= and next))(?! to\b| door\b)"
# What a part with one of these words says of a sound is not known.
NEGATION = re.compile(r"\b(?:no|not|never|nor|neither|nothing|nobody|without|cannot)\b|n['’]t\b")
BEHIND = "in the background"
# A caption without any of these words says nothing about time.
MARKERS = frozenset(words.split()[0] for words in ORDER_WORDS) | {"again", "with"}


def _any_of(phrases: Iterable[str]) -> re.Pattern[str]:
    patterns = [NEXT if phrase == "next" else phrase for phrase in phrases]
    # One branch for each first letter: most words fail at once.
    rest: dict[str, list[str]] = {}
    for pattern in sorted(patterns, key=len, reverse=True):
        rest.setdefault(pattern[0], []).append(pattern[1:])
    branches = (f"{letter}(?:{'|'.join(ends)})" for letter, ends in rest.items())
    return re.compile(rf"\b(?:{'|'.join(branches)})\b|[,;]")


# What a caption is split at.
MARK = _any_of((*SAME_SUBJECT, *IDIOMS, *ORDER_WORDS, "again", "with"))
ORDER = _any_of(ORDER_WORDS)
THEN_NEXT = re.compile(r"\s*(?:and )?(?:then|later|next|followed by)\b")
# Words that do not show which label a part of a caption is about.
NOT_TELLING = frozenset(map(stem, LISTS["not_telling"]))
# Words that people use for one another in captions, by their stems.
SYNONYMS = {stem(word): stem(first) for first, *others in LISTS["synonyms"] for word in (first, *others)}


@dataclass(slots=True)
class Part:
    """The text of a caption between two words of time, in lower case.

    Attributes:
        beside: the number of the part before it, if both are at the same time.
        again: whether it says that a sound comes back.
    """

    text: str = ""
    beside: int | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """What a caption says about two of its parts, by their numbers: `first` before or with `second`."""

    said: Said
    words: str
    first: int
    second: int


class Reader:
    """Splits a caption into parts at its words of time."""

    def __init__(self, caption: str) -> None:
        self.parts = [Part()]
        self.statements: list[Statement] = []
        # Words of time before both of their parts: "While a dog barks, a car passes".
        self._opening: str | None = None
        text, place = caption.lower(), 0
        for mark in MARK.finditer(text):
            words, part = mark[0], self.parts[-1]
            part.text += text[place : mark.start()]
            place = mark.end()
            if words in ORDER_WORDS:
                self._at(words, text[place:].lstrip())
            elif words in (",", ";"):
                self._close_opening(text[place:])
            elif words == "again":
                part.again = True
            elif words == "with" and part.text.strip() and _is_behind(text, place):
                self._next_part(Said.TOGETHER, words)
        self.parts[-1].text += text[place:]

    def _at(self, words: str, rest: str) -> None:
        said, before = ORDER_WORDS[words], self.parts[-1].text.split()
        if words in ADVERBS and rest[:1] in ("", ",", ";", ".") and before:
            self._split(said, words)
        elif before in ([], ["and"]):
            self._opening = words
        elif before[-1] == "and" and said is not Said.THEN:
            # "A dog barks, and while a car passes, ...".
            self.parts.append(Part())
            self._opening = words
        else:
            self._next_part(said, words)

    def _next_part(self, said: Said, words: str, text: str = "") -> None:
        number = len(self.parts) - 1
        self.parts.append(Part(text, beside=number if said is Said.TOGETHER else None))
        first, second = (number + 1, number) if words in REVERSED else (number, number + 1)
        self.statements.append(Statement(said, words, first, second))

    def _split(self, said: Said, words: str) -> None:
        """ "A dog barks and a car passes afterwards" is two parts."""
        part = self.parts[-1]
        one, joint, other = part.text.rpartition(" and ")
        if joint:
            part.text = one
            self._next_part(said, words, other)
        self.parts.append(Part())

    def _close_opening(self, rest: str) -> None:
        """At the comma of "While a dog barks, a car passes", or of "After a dog barks, a car passes"."""
        words, self._opening = self._opening, None
        if words is None or (ORDER_WORDS[words] is Said.THEN and words not in REVERSED):
            return
        said, number = ORDER_WORDS[words], len(self.parts) - 1
        if words not in REVERSED and THEN_NEXT.match(rest):
            # "While a dog barks a car passes, then ...": the comma is not the one between both parts.
            return
        self.parts.append(Part(beside=number if said is Said.TOGETHER else None))
        first, second = (number + 1, number) if said is Said.BEFORE else (number, number + 1)
        self.statements.append(Statement(said, words, first, second))


def _is_behind(text: str, place: int) -> bool:
    """Whether "with" at this place is of something "in the background"."""
    behind = text.find(BEHIND, place)
    return behind > 0 and ORDER.search(text, place, behind) is None


@lru_cache(maxsize=10_000)
def telling_stems(text: str) -> frozenset[str]:
    """The stems of the words that show what sounds; synonyms have one stem."""
    found = {stem(word) for word in WORD.findall(text.lower())} - NOT_TELLING
    return frozenset(SYNONYMS.get(one, one) for one in found)


@lru_cache(maxsize=10_000)
def stems_of(label: str, phrase: str) -> frozenset[str]:
    """The stems of the words that name a labelled sound."""
    return telling_stems(label) | telling_stems(phrase)


def meant_by(text: str, vocabulary: Mapping[str, frozenset[str]]) -> Sequence[frozenset[str]]:
    """The sounds that a part of a caption mentions; of each, the names that it may have.

    Of a part that denies something, no sound is known.

    Args:
        text: of the part.
        vocabulary: the stems of each name.
    """
    stems = telling_stems(text)
    shared = [(name, common) for name, known in vocabulary.items() if (common := stems & known)]
    if not shared or NEGATION.search(text):
        return []
    if len(shared) == 1:
        return [frozenset({name}) for name, _ in shared]
    best = [(name, common) for name, common in shared if not any(common < other for _, other in shared)]
    groups: list[tuple[frozenset[str], frozenset[str]]] = []
    for name, common in best:
        joined = [group for group in groups if group[1] & common]
        groups = [group for group in groups if group not in joined]
        names = frozenset({name}).union(*(group[0] for group in joined))
        groups.append((names, common.union(*(group[1] for group in joined))))
    return [names for names, _ in groups]
