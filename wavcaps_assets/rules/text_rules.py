"""Rules on the words and signs of one caption. Each says what it saw, or None where it finds no fault.

None of them needs the parser: they are quick enough to look at every caption of a set in a minute.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from wavcaps_assets.rules.language import foreign_language, is_latin, surely_english
from wavcaps_assets.rules.reading import TEXT_CHARS, Reading, words_of
from wavcaps_assets.rules.refusals import is_failure, is_refusal
from wavcaps_assets.rules.repairs import BRACKETED_NUMBER, is_control
from wavcaps_assets.rules.settings import WORDS

ECHOED_WORDS = 5
# A shorter text cannot be said otherwise: "A dog barks." is the caption of "A dog barks".
REPEATED_WORDS = 6
# As much of a text as certainly holds a word that is no article.
TEXT_START = 60
MORE_CHARS = 60
# "A sneeze is sneezing." has too few words to tell its language by.
SENTENCE_WORDS = 5

# A full stop after one of these, or after a single letter ("T. rex"), ends no sentence.
ABBREVIATED = re.compile(r"\b(?:vs|etc|approx|mr|mrs|ms|dr|st|no|[a-z])\.$", re.IGNORECASE)
SENTENCE_END = re.compile(r"[.!?…]['\"”)]?(?=\s+\S)|\u3002(?=\s*\S)")
FIGURE = re.compile(r"[\d²³¹¼-¾⅐-⅞①-⓿]")
MARKUP = re.compile(
    r"[()\[\]{}<>\"“”„«»*_`#|\\=~^@/]|&#?\w+;|www\.|\w\.(?:com|org|net|io|wav|mp3|aiff?|flac|ogg)\b"
)
SPELLED_MEASURE = re.compile(
    rf"\b(?:{'|'.join(WORDS['measures']['numbers'])})(?:[\s-]+(?:and|a|an|half|of|or so))*[\s-]+"
    rf"(?:{'|'.join(sorted(WORDS['measures']['units'], key=len, reverse=True))})\b",
    re.IGNORECASE,
)
SIGN_OF_MEASURE = re.compile(
    rf"(?<![\w/])(?:{'|'.join(map(re.escape, WORDS['measures']['always']))})(?![\w/])", re.IGNORECASE
)
# Emoji and other pictures, arrows, signs of currencies.
PICTURES = ("So", "Sm", "Sc")
ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = frozenset(WORDS["measures"]["numbers"])
SIGNS = frozenset(word for sign in WORDS["measures"]["always"] for word in words_of(sign))


def failure(seen: Reading) -> str | None:
    """The model says that the text is not about a sound, or that it will not answer."""
    return seen.caption if is_failure(seen.caption) or is_refusal(seen.caption) else None


def too_short(seen: Reading) -> str | None:
    count = len(seen.words)
    return f"{count} words" if count < seen.settings.min_words else None


def too_long(seen: Reading) -> str | None:
    count = len(seen.words)
    return f"{count} words" if count > seen.settings.max_words else None


def several_sentences(seen: Reading) -> str | None:
    ends = SENTENCE_END.finditer(seen.caption)
    found = any(not ABBREVIATED.search(seen.caption, 0, end.start() + 1) for end in ends)
    return "full stop inside" if found else None


def banned_words(seen: Reading) -> str | None:
    return _first_phrase(seen, seen.settings.banned_words)


def meta_words(seen: Reading) -> str | None:
    return _first_phrase(seen, seen.settings.meta_words)


def profanity(seen: Reading) -> str | None:
    return _first_phrase(seen, seen.settings.profanity)


def _first_phrase(seen: Reading, phrases: tuple[str, ...]) -> str | None:
    firsts, pattern = _pattern(phrases, seen.settings.harmless)
    caption, words = seen.caption, seen.words
    if "’" in caption:
        caption = caption.replace("’", "'")
        words = words_of(caption)
    if firsts.isdisjoint(words):
        return None
    return next((found["found"] for found in pattern.finditer(caption) if found["found"]), None)


@lru_cache(maxsize=16)
def _pattern(phrases: tuple[str, ...], harmless: tuple[str, ...]) -> tuple[frozenset[str], re.Pattern[str]]:
    """The words that the phrases begin with, and a pattern that passes over what is harmless."""
    either = [
        "|".join(re.escape(phrase) for phrase in sorted(some, key=len, reverse=True))
        for some in (harmless, phrases)
    ]
    # An empty alternation would be found everywhere.
    passed, found = (one or "(?!)" for one in either)
    firsts = frozenset(words_of(phrase)[0] for phrase in phrases if words_of(phrase))
    return firsts, re.compile(rf"(?<!\w)(?:(?:{passed})|(?P<found>{found}))(?!\w)", re.IGNORECASE)


def digits(seen: Reading) -> str | None:
    """Figures."""
    if FIGURE.search(seen.caption) is None:
        return None
    return next(part for part in seen.caption.split() if FIGURE.search(part))


def spelled_units(seen: Reading) -> str | None:
    """A measure in words, or a unit that stays behind when its figure is deleted."""
    found = None
    if not SIGNS.isdisjoint(seen.words):
        found = SIGN_OF_MEASURE.search(seen.caption)
    if found is None and (not NUMBERS.isdisjoint(seen.words) or "-" in seen.caption):
        found = SPELLED_MEASURE.search(seen.caption)
    return found[0] if found else None


def bracketed_number(seen: Reading) -> str | None:
    """An index, a reference or a take number: "[1]", "(2)", "3. "."""
    found = BRACKETED_NUMBER.search(seen.caption)
    return found[0].strip() if found else None


def markup(seen: Reading) -> str | None:
    """Brackets, tags, addresses, file names, slashes between words, pictures such as emoji."""
    found = MARKUP.search(seen.caption)
    if found is None and not seen.caption.isascii():
        return next((char for char in seen.caption if unicodedata.category(char) in PICTURES), None)
    return found[0] if found else None


def control_characters(seen: Reading) -> str | None:
    """Null bytes, escape codes, half surrogates, characters that no standard names, marks over letters.

    A mark that makes one letter with the one before it, as in "é", has been repaired away.
    """
    if seen.caption.isascii() and seen.caption.isprintable():
        return None
    char = next(filter(is_control, seen.caption), None)
    return None if char is None else f"U+{ord(char):04X}"


def in_foreign_language(seen: Reading) -> str | None:
    """A letter of another script, or a sentence of another language."""
    if seen.caption.isascii():
        stray = None
    else:
        stray = next((char for char in seen.caption if char.isalpha() and not is_latin(char)), None)
    if stray is None and surely_english(seen.words):
        return None
    return stray or foreign_language(seen.caption, SENTENCE_WORDS)


def echo(seen: Reading) -> str | None:
    """Words of the prompt: five in a row of a sentence that the model was shown, and not of the text."""
    if not seen.prompt or len(seen.words) < ECHOED_WORDS:
        return None
    echoed = [run for run in _runs(seen.words) if run in _told(seen.prompt)]
    if not echoed:
        return None
    text = f" {' '.join(words_of(seen.text[:TEXT_CHARS]))} "
    return next((run for run in echoed if f" {run} " not in text), None)


def _runs(words: list[str]) -> list[str]:
    return [" ".join(words[start : start + ECHOED_WORDS]) for start in range(len(words) - ECHOED_WORDS + 1)]


@lru_cache(maxsize=64)
def _told(prompt: tuple[str, ...]) -> frozenset[str]:
    return frozenset(run for sentence in prompt for run in _runs(words_of(sentence)))


def echo_of_text(seen: Reading) -> str | None:
    """The caption is the raw text, or its first sentence, word by word: nothing was made of it."""
    words = _without_articles(seen.words)
    if len(words) < REPEATED_WORDS:
        return None
    # What is longer by more than articles and a few signs is not the same.
    most = len(seen.caption) + MORE_CHARS
    if words[:1] != _without_articles(words_of(seen.text[:TEXT_START]))[:1]:
        return None
    for part in (seen.text, re.split(r"(?<=[.!?])\s", seen.text[:TEXT_CHARS], maxsplit=1)[0]):
        if len(part) <= most and words == _without_articles(words_of(part)):
            return part[:TEXT_START]
    return None


def _without_articles(words: list[str]) -> list[str]:
    return [word for word in words if word not in ARTICLES]
