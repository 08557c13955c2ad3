"""Texts as words: the definition of a word for the whole analysis.

A word is a run of letters and digits, in lower case and in Unicode's form NFC; an apostrophe, a hyphen, a
full stop or an ampersand between two letters or digits belongs to it: `don't`, `tin-roof`, `2.5`, `r&b`.
For captions this gives the same length as splitting at spaces, as in the paper's Table III. Single dashes and
symbols in raw texts do not count. HTML tags are not words.

Each different word has a number, so that NumPy can count.
"""

from __future__ import annotations

import html
import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Characters of a text, many times the longest description. The rest is not read.
LONGEST_TEXT = 10_000
# Characters of a word. Longer ones are addresses and noise, and are ignored.
LONGEST_WORD = 50
WORD = re.compile(r"[^\W_]+(?:['.&-][^\W_]+)*")
TAG = re.compile(r"<[A-Za-z/!][^<>]{0,500}>")
# Characters without a shape: they direct a text or join letters, and stand inside words.
INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
SPACE = frozenset("\t\n\r")
CURLY = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u2010": "-", "\u2011": "-"})
ENDS_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*$")
TO_LIST = 10_000


class Kind(IntEnum):
    """The kind of a text: the first of these that is true."""

    MISSING = 0
    EMPTY = 1
    NO_WORDS = 2
    OTHER_SCRIPT = 3
    CUT = 4
    MARKUP = 5
    CONTROL = 6
    PLAIN = 7


MEANING = {
    Kind.MISSING: "there is no text",
    Kind.EMPTY: "only white space",
    Kind.NO_WORDS: "symbols or emoji without a word",
    Kind.OTHER_SCRIPT: "most of its words are not in Latin letters",
    Kind.CUT: f"longer than {LONGEST_TEXT:,} characters; the rest was not read",
    Kind.MARKUP: "HTML tags or entities, which were removed",
    Kind.CONTROL: "control characters, which were removed",
    Kind.PLAIN: "a usual text",
}
# Kinds without words, and kinds for which English measures are not valid.
WITHOUT_WORDS = (Kind.MISSING, Kind.EMPTY, Kind.NO_WORDS)
NOT_ENGLISH = (*WITHOUT_WORDS, Kind.OTHER_SCRIPT)


@dataclass(frozen=True)
class Texts:
    """Texts as numbers of words.

    Attributes:
        words: the words of all texts, one text after the other, as numbers of a `Lexicon`.
        starts: the start of each text in `words`, and the length of `words`; shape (texts + 1,).
        ends: for each word, whether it ends a sentence.
        kinds: the `Kind` of each text.
    """

    words: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.bool_]
    kinds: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.kinds)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The number of words of each text."""
        return np.diff(self.starts)

    @cached_property
    def text_of_word(self) -> NDArray[np.int64]:
        """The index of the text of each word."""
        return np.repeat(np.arange(len(self)), self.lengths)


class Lexicon:
    """Words and their numbers. Texts to compare must be read by the same lexicon."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._numbers: dict[str, int] = {}
        self._pieces = _Pieces(self)

    def __len__(self) -> int:
        return len(self.words)

    def number(self, word: str) -> int:
        """The number of a word. A new word gets the next number."""
        found = self._numbers.setdefault(word, len(self.words))
        if found == len(self.words):
            self.words.append(word)
        return found

    def read(self, texts: Iterable[str | None]) -> Texts:
        """Splits any texts into words."""
        codes, starts, kinds = array("i"), array("q", [0]), array("b")
        pieces = self._pieces
        for text in texts:
            kind = Kind.PLAIN
            if text is None:
                kind, text = Kind.MISSING, ""
            elif not (text.isascii() and text.isprintable()) or len(text) > LONGEST_TEXT or "<" in text:
                text, kind = plain(text)
            elif "&" in text:
                text, kind = _unescaped(text, kind)
            start = len(codes)
            for piece in text.split():
                codes.extend(pieces[piece])
            if kind > Kind.OTHER_SCRIPT:
                kind = _kind_of_words(text, kind, codes, start, pieces.latin)
            kinds.append(kind)
            starts.append(len(codes))
        coded = np.frombuffer(codes, np.int32) if codes else np.empty(0, np.int32)
        return Texts(
            coded >> 1, np.array(starts, np.int64), (coded & 1).astype(bool), np.array(kinds, np.int8)
        )


class _Pieces(dict[str, tuple[int, ...]]):
    """The words of a string without spaces, as codes: 2 × number, plus 1 at the end of a sentence."""

    def __init__(self, lexicon: Lexicon) -> None:
        super().__init__()
        self.lexicon = lexicon
        # By number of a word: whether it has Latin letters or is a number.
        self.latin = bytearray()

    def __missing__(self, piece: str) -> tuple[int, ...]:
        normal = unicodedata.normalize("NFC", piece.translate(CURLY)).lower()
        found = [word for word in WORD.findall(normal) if len(word) <= LONGEST_WORD]
        codes = [2 * self.lexicon.number(word) for word in found]
        for word in self.lexicon.words[len(self.latin) :]:
            self.latin.append("LATIN" in unicodedata.name(word[0], "") or word[0].isdigit())
        if codes and ENDS_SENTENCE.search(piece):
            codes[-1] += 1
        if len(piece) <= LONGEST_WORD:
            self[piece] = tuple(codes)
        return tuple(codes)


def plain(text: str) -> tuple[str, Kind]:
    """A text without tags, control and invisible characters, cut if it is long; and its kind."""
    kind = Kind.PLAIN
    long, text = len(text) > LONGEST_TEXT, text[:LONGEST_TEXT]
    if any(char not in SPACE for char in CONTROL.findall(text)):
        kind = Kind.CONTROL
    text = INVISIBLE.sub("", CONTROL.sub(" ", text))
    if "<" in text and (without := TAG.sub(" ", text)) != text:
        text, kind = without, Kind.MARKUP
    if "&" in text:
        text, kind = _unescaped(text, kind)
    return text, Kind.CUT if long else kind


def _unescaped(text: str, kind: Kind) -> tuple[str, Kind]:
    unescaped = html.unescape(text)
    return (unescaped, Kind.MARKUP) if unescaped != text else (text, kind)


def _kind_of_words(text: str, kind: Kind, codes: array[int], start: int, latin: bytearray) -> Kind:
    if len(codes) == start:
        return Kind.NO_WORDS if text.strip() else Kind.EMPTY
    if not text.isascii():
        known = sum(latin[code >> 1] for code in codes[start:])
        if 2 * known < len(codes) - start:
            return Kind.OTHER_SCRIPT
    return kind


def texts_of(column: pa.ChunkedArray) -> Iterator[str | None]:
    """The texts of a column, with a few at a time in memory."""
    for start in range(0, len(column), TO_LIST):
        yield from column.slice(start, TO_LIST).to_pylist()
