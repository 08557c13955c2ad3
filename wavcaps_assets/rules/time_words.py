"""Words of time in a caption: its parts, what it says about their order, and which labels they are about."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib import resources

from wavcaps_assets.caption_metrics.stems import stem
from wavcaps_assets.rules.reading import WORD

LISTS = tomllib.loads(
    (resources.files("wavcaps_assets.rules") / "time_words.toml").read_text(encoding="utf-8")
)
TOKEN = re.compile(rf"{WORD.pattern}|[,;]")


class Said(StrEnum):
    """What a caption says about two of its parts."""

    THEN = "then"
    BEFORE = "before"
    TOGETHER = "together"


# What is said about the part before the words and the part after them; a longer one comes first.
ORDER_WORDS: Mapping[tuple[str, ...], Said] = {
    ("at", "the", "same", "time", "as"): Said.TOGETHER,
    ("at", "the", "same", "time"): Said.TOGETHER,
    ("followed", "by"): Said.THEN,
    ("then",): Said.THEN,
    ("later",): Said.THEN,
    ("afterwards",): Said.THEN,
    ("afterward",): Said.THEN,
    ("subsequently",): Said.THEN,
    ("before",): Said.BEFORE,
    ("while",): Said.TOGETHER,
    ("whilst",): Said.TOGETHER,
    ("as",): Said.TOGETHER,
    ("during",): Said.TOGETHER,
    ("meanwhile",): Said.TOGETHER,
    ("simultaneously",): Said.TOGETHER,
    # What comes after these words was first.
    ("after",): Said.THEN,
    ("preceded", "by"): Said.THEN,
}
REVERSED = frozenset({("after",), ("preceded", "by")})
# They may also be at the end of what they are about: "A dog barks and a car passes afterwards".
ADVERBS = frozenset(
    {("later",), ("afterwards",), ("afterward",), ("subsequently",), ("meanwhile",), ("simultaneously",)}
) | {("at", "the", "same", "time")}
# Where these words say something else.
IDIOMS = tuple(tuple(idiom.split()) for idiom in LISTS["idioms"])
BEHIND = ("in", "the", "background")
# By their first word: idioms, which come first, and words of time.
BY_FIRST_WORD: Mapping[str, Sequence[tuple[str, ...]]] = {
    first: [words for words in (*IDIOMS, *ORDER_WORDS) if words[0] == first]
    for first in {words[0] for words in (*IDIOMS, *ORDER_WORDS)}
}
# A caption without any of these says nothing about time.
MARKERS = frozenset(words[0] for words in ORDER_WORDS) | {"again", "with"}
# Words that do not show which label a part of a caption is about.
NOT_TELLING = frozenset(map(stem, LISTS["not_telling"]))
# Words that people use for one another in captions, by their stems.
SYNONYMS = {stem(word): stem(first) for first, *others in LISTS["synonyms"] for word in (first, *others)}


@dataclass
class Part:
    """The words of a caption between two words of time.

    Attributes:
        words: in lower case.
        beside: the number of the part before it, if both are at the same time.
        again: whether it says that a sound comes back.
    """

    words: list[str] = field(default_factory=list)
    beside: int | None = None
    again: bool = False


@dataclass(frozen=True)
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
        self._tokens = tuple(TOKEN.findall(caption.lower()))
        # Words of time before both of their parts: "While a dog barks, a car passes".
        self._opening: tuple[str, ...] | None = None
        place = 0
        while place < len(self._tokens):
            place += self._read(place)

    def _read(self, place: int) -> int:
        """Reads some tokens. Returns how many."""
        token, part = self._tokens[place], self.parts[-1]
        for words in BY_FIRST_WORD.get(token, ()):
            if self._are(words, place):
                if words in ORDER_WORDS:
                    self._at(words, place + len(words))
                return len(words)
        if token in ",;":
            self._close_opening()
        elif token == "again":
            part.again = True
        elif token == "with" and part.words and self._is_behind(place + 1):
            self._next_part(Said.TOGETHER, ("with",))
        else:
            part.words.append(token)
        return 1

    def _are(self, words: tuple[str, ...], place: int) -> bool:
        return self._tokens[place : place + len(words)] == words

    def _is_behind(self, place: int) -> bool:
        """Whether the next words are of something "in the background"."""
        for at in range(place, len(self._tokens)):
            if self._are(BEHIND, at):
                return True
            if self._tokens[at] in MARKERS or self._tokens[at] in ",;":
                return False
        return False

    def _at(self, words: tuple[str, ...], after: int) -> None:
        said, part = ORDER_WORDS[words], self.parts[-1]
        ends = after == len(self._tokens) or self._tokens[after] in ",;"
        if words in ADVERBS and ends and part.words:
            self._split(said, words)
        elif not part.words or part.words == ["and"]:
            self._opening = words
        elif part.words[-1] == "and" and said is not Said.THEN:
            # "A dog barks, and while a car passes, ...".
            self.parts.append(Part())
            self._opening = words
        else:
            self._next_part(said, words)

    def _next_part(self, said: Said, words: tuple[str, ...]) -> None:
        number = len(self.parts) - 1
        self.parts.append(Part(beside=number if said is Said.TOGETHER else None))
        first, second = (number + 1, number) if words in REVERSED else (number, number + 1)
        self.statements.append(Statement(said, " ".join(words), first, second))

    def _split(self, said: Said, words: tuple[str, ...]) -> None:
        """ "A dog barks and a car passes afterwards" is two parts."""
        part = self.parts[-1]
        if "and" in part.words:
            last = len(part.words) - 1 - part.words[::-1].index("and")
            rest = part.words[last + 1 :]
            del part.words[last:]
            self._next_part(said, words)
            self.parts[-1].words = rest
        self.parts.append(Part())

    def _close_opening(self) -> None:
        """At the comma of "While a dog barks, a car passes", or of "After a dog barks, a car passes"."""
        words, self._opening = self._opening, None
        if words is None or (ORDER_WORDS[words] is Said.THEN and words not in REVERSED):
            return
        said, number = ORDER_WORDS[words], len(self.parts) - 1
        self.parts.append(Part(beside=number if said is Said.TOGETHER else None))
        first, second = (number + 1, number) if said is Said.BEFORE else (number, number + 1)
        self.statements.append(Statement(said, " ".join(words), first, second))


@lru_cache(maxsize=10_000)
def telling_stems(words: str) -> frozenset[str]:
    """The stems of the words that show what sounds; synonyms have one stem."""
    found = {stem(word) for word in WORD.findall(words.lower())} - NOT_TELLING
    return frozenset(SYNONYMS.get(one, one) for one in found)


def meant_by(words: Iterable[str], vocabulary: Mapping[str, frozenset[str]]) -> Sequence[frozenset[str]]:
    """The sounds that a part of a caption mentions; of each, the names that it may have.

    Args:
        words: of the part.
        vocabulary: the stems of each name.
    """
    stems = telling_stems(" ".join(words))
    shared = [(name, common) for name, known in vocabulary.items() if (common := stems & known)]
    if len(shared) < 2:
        return [frozenset({name}) for name, _ in shared]
    best = [(name, common) for name, common in shared if not any(common < other for _, other in shared)]
    groups: list[tuple[frozenset[str], frozenset[str]]] = []
    for name, common in best:
        joined = [group for group in groups if group[1] & common]
        groups = [group for group in groups if group not in joined]
        names = frozenset({name}).union(*(group[0] for group in joined))
        groups.append((names, common.union(*(group[1] for group in joined))))
    return [names for names, _ in groups]
