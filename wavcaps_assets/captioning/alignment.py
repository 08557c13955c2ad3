"""Whether the captions of a list belong to the texts at the same places.

A model can number a list correctly and still put each caption under the index of the text before or after
it: one text becomes two captions, two texts become one, or a text is left out. The indices do not show it.
The words do: a caption mostly shares a word with its own text, and rarely with the text next to it.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The start of each word of three letters or more. Words with the same start count as the same word: "croaks"
# and "croaking".
STEM = re.compile(r"([^\W\d_]{3,4})[^\W\d_]*")
LETTERS_OF_STEM = 4
WORD = re.compile(r"[^\W\d_]+")
# Bytes as they are compared: letters in lower case, and spaces for everything else but the ends of lines.
LETTERS = bytes(
    ord(chr(byte).lower()) if chr(byte) in f"{string.ascii_letters}\n" else 32 for byte in range(256)
)
BETWEEN = " \n "
# Words of any sound description: they do not show which text a caption is about.
COMMON = frozenset(
    STEM.findall(
        """
        the and are was were been being with from for then than while that this these there its into onto over
        out off one two some all any not but also very more each other another after before during when where
        near through around their his her them they who which what you your our has have had can could may
        someone something people person sound sounds sounding noise noises effect effects hear heard record
        recorded recording make makes made making loud background distance
        great good best nice perfect free download downloads use used using
        """
    )
)
# The most words whose starts are remembered: more than the vocabulary of a source.
REMEMBERED = 200_000
# Of a longer text, the start.
READ_CHARS = 500
SHIFTS = (-2, -1, 1, 2)
BEYOND = " "
# The most that one caption counts for or against a shift (words).
MOST_WORDS = 2
# A list is shifted if this many more words of adjacent captions are in the text beside theirs than in their
# own. Chosen on one half of the released SoundBible captions and of rule-based captions of the BBC's texts;
# docs/captioning.md has the figures for the other half.
SHIFTED_WORDS = 3
SHIFTED_WORDS_SHORT = 2
SHORT_LIST = 10
# Fewer captions than this prove nothing together.
FEWEST = 4
FEWEST_ASTRAY = 3
LEAST_GROUNDED = 0.3
# A caption of several texts belongs to none if it shares a word with a smaller share of them.
ADVERT = 2 / 3


@dataclass(frozen=True)
class Alignment:
    """What the words say about a list.

    Attributes:
        problem: why no caption of the list can be trusted; empty if most can.
        ungrounded: whether the problem is that hardly any caption shares a word with any text.
        astray: the places, from 0, of single captions that fit another text of the list and not their own, or
            that several texts got and do not fit theirs.
        grounded: the places of captions that share a word with their own text.
    """

    problem: str = ""
    ungrounded: bool = False
    astray: frozenset[int] = frozenset()
    grounded: frozenset[int] = frozenset()


def content_stems(line: str) -> frozenset[str]:
    """The first letters of a line's words, without words that any sound description may have."""
    return frozenset(STEM.findall(line[:READ_CHARS].lower())) - COMMON


def _words(lines: Sequence[str]) -> list[str]:
    """The words of each line in lower case, with a space or more before and after each."""
    lines = [line[:READ_CHARS] for line in lines]
    # All at once: that is faster.
    whole = f" {BETWEEN.join(lines)} "
    if whole.isascii() and whole.count("\n") == len(lines) - 1:
        return whole.encode("ascii").translate(LETTERS).decode("ascii").split("\n")
    return [f" {' '.join(WORD.findall(line.lower()))} " for line in lines]


class _Starts(dict[str, str]):
    """What the words of a line contain exactly if a word of it has the same stem as this one.

    That is the space before the word and its stem, and the space after it if the word is as short as that. It
    is empty for words that say nothing. To look for a few of these is faster than to cut the words of a text.
    """

    def __missing__(self, word: str) -> str:
        stem = word[:LETTERS_OF_STEM]
        start = f" {stem}" if len(stem) == LETTERS_OF_STEM else f" {stem} "
        if len(stem) < LETTERS_OF_STEM - 1 or stem in COMMON:
            start = ""
        if len(self) < REMEMBERED:
            self[word] = start
        return start


_start_of = _Starts().__getitem__


def _starts(words: str) -> set[str]:
    """The starts of a line's words, see `_Starts`."""
    starts = set(map(_start_of, words.split()))
    starts.discard("")
    return starts


def align(texts: Sequence[str], captions: Sequence[str | None]) -> Alignment:
    """Compares each caption with its own text and with the other texts of its list.

    Args:
        texts: of a request, in order.
        captions: under the same indices; None: there is none, or it says nothing about a sound.
    """
    given = _words(texts)
    said = [_starts(words) for words in _words([caption or "" for caption in captions])]
    # The words of each caption that are not in its own text.
    more = [
        [start for start in starts if start not in words] for starts, words in zip(said, given, strict=True)
    ]
    own = [len(starts) - len(others) for starts, others in zip(said, more, strict=True)]
    different = len(set(captions))
    copies = _adverts(captions, own) if len(captions) - different >= FEWEST_ASTRAY - 1 else frozenset()
    if len(captions) >= FEWEST and different <= len(captions) / 2:
        own, more = _without_adverts(captions, own), list(map(list, said))
    grounded = frozenset(place for place, count in enumerate(own) if count)
    compared = [
        place
        for place, caption in enumerate(captions)
        if caption and (own[place] or any(map(_start_of, given[place].split())))
    ]
    shift = _shift(given, said, own, more)
    if shift:
        where = "after" if shift > 0 else "before"
        beside = "the text" if abs(shift) == 1 else "the second text"
        return Alignment(f"captions fit {beside} {where} their own", grounded=grounded)
    if len(grounded) == len(compared):
        return Alignment(astray=copies, grounded=grounded)
    whole = "".join(given)
    strays = {
        place: fitting
        for place in compared
        if not own[place] and (fitting := _fitting(said[place], given, whole))
    }
    if len(strays) >= FEWEST_ASTRAY and len(strays) > len(grounded):
        return Alignment("more captions fit another text of the list than their own", grounded=grounded)
    if len(compared) >= FEWEST and len(grounded) < LEAST_GROUNDED * len(compared):
        problem = f"only {len(grounded)} of {len(compared)} captions share a word with their text"
        return Alignment(problem, ungrounded=True, grounded=grounded)
    astray = frozenset(place for place, fitting in strays.items() if _is_astray(place, fitting, strays))
    return Alignment(astray=astray | copies, grounded=grounded)


def is_about_most(caption: str, texts: Sequence[str]) -> bool:
    """Whether one caption may be that of several texts, as of "door creaks, take 1" to "take 20"."""
    stems = content_stems(caption)
    return sum(not stems.isdisjoint(content_stems(text)) for text in texts) >= ADVERT * len(texts)


def _without_adverts(captions: Sequence[str | None], own: list[int]) -> list[int]:
    """The words that captions share with their texts; 0 for adverts.

    An advert shares a word with some texts by chance. "A dog is barking." is about a dog each time.
    """
    copies = Counter(captions)
    shared = Counter(caption for caption, count in zip(captions, own, strict=True) if count)
    return [
        count if copies[caption] < FEWEST_ASTRAY or shared[caption] >= ADVERT * copies[caption] else 0
        for caption, count in zip(captions, own, strict=True)
    ]


def _adverts(captions: Sequence[str | None], own: Sequence[int]) -> frozenset[int]:
    """The places of captions that several texts got, few of which share a word with it, and theirs do not."""
    times = Counter(captions)
    shared = Counter(caption for caption, count in zip(captions, own, strict=True) if count)
    return frozenset(
        place
        for place, (caption, count) in enumerate(zip(captions, own, strict=True))
        if caption
        and not count
        and times[caption] >= FEWEST_ASTRAY
        and shared[caption] < ADVERT * times[caption]
    )


def _shift(
    given: Sequence[str], said: Sequence[set[str]], own: Sequence[int], more: Sequence[Sequence[str]]
) -> int:
    """By how many places captions are shifted; 0: they are not.

    For each shift, the run of adjacent captions that speaks for it most strongly is found (the maximum
    subarray): a list may be shifted from its middle on only.

    Args:
        more: a caption without one of these words in the text beside its own does not speak for a shift.
    """
    limit = SHIFTED_WORDS_SHORT if len(given) <= SHORT_LIST else SHIFTED_WORDS
    padding = [BEYOND] * max(SHIFTS)
    padded = [*padding, *given, *padding]
    # Most captions have no word of the texts around their own, which is seen at once.
    near = []
    for place, starts in enumerate(more):
        if starts:
            around = "".join(padded[place : place + 2 * len(padding) + 1])
            if found := [start for start in starts if start in around]:
                near.append((place, found))
    if MOST_WORDS * len(near) < limit:
        return 0
    for shift in SHIFTS:
        besides = padded[len(padding) + shift : len(padding) + shift + len(said)]

        def difference(place: int, besides: Sequence[str] = besides) -> int:
            beside = besides[place]
            shared = len([start for start in said[place] if start in beside])
            return max(-MOST_WORDS, min(MOST_WORDS, shared - own[place]))

        # The sum of a run is not above that of the captions that speak for the shift.
        speaking = (place for place, found in near if any(start in besides[place] for start in found))
        if sum(max(0, difference(place)) for place in speaking) < limit:
            continue
        sum_of_run = 0
        for place in range(len(said)):
            sum_of_run = max(0, sum_of_run + difference(place))
            if sum_of_run >= limit:
                return shift
    return 0


def _fitting(starts: set[str], given: Sequence[str], whole: str) -> Counter[int]:
    """The texts that share words with a caption, and how many.

    Args:
        whole: all texts as one.
    """
    return Counter(
        place for start in starts if start in whole for place, words in enumerate(given) if start in words
    )


def _is_astray(place: int, fitting: Mapping[int, int], strays: Mapping[int, Mapping[int, int]]) -> bool:
    """Whether a caption without a word of its own text fits the text beside it, or another one clearly."""
    return any(
        abs(other - place) == 1 or shared > 1 or place in strays.get(other, ())
        for other, shared in fitting.items()
    )
