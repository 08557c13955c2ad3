"""Rules on the characters of a caption: numbers, units, markup, control characters, other languages."""

from __future__ import annotations

import re
import unicodedata

from wavcaps_assets.rules.language import foreign_language, is_latin, surely_english
from wavcaps_assets.rules.reading import Reading, words_of
from wavcaps_assets.rules.repairs import BRACKETED_NUMBER, is_control
from wavcaps_assets.rules.rule import Rule
from wavcaps_assets.rules.word_lists import ACCENTED, WORDS

# "A sneeze is sneezing." has too few words to identify its language.
SENTENCE_WORDS = 5

FIGURE = re.compile(r"[\d²³¹¼-¾⅐-⅞①-⓿]")
MARKUP = re.compile(
    r"[()\[\]{}<>\"“”„«»*_`#|\\=~^@/]|&#?\w+;|www\.|\w\.(?:com|org|net|io|wav|mp3|aiff?|flac|ogg)\b"
)
SPELLED_MEASURE = re.compile(
    rf"\b(?:{'|'.join(WORDS['measures']['numbers'])})(?:[\s-]+(?:and|a|an|half|of|or so))*[\s-]+"
    rf"(?:{'|'.join(sorted(WORDS['measures']['units'], key=len, reverse=True))})\b",
    re.IGNORECASE,
)
# A take, a version, a year: "version three", "nineteen eighty-four".
COUNTED = "|".join(WORDS["measures"]["numbers"])
SPELLED_NUMBER = re.compile(
    rf"\b(?:version|episode)[\s-](?:{COUNTED})\b"
    rf"|\btake(?: number)?[\s-](?:{COUNTED})(?:[\s-](?:{COUNTED}))*(?=\W*$|[,;:])"
    r"|\b(?:eighteen|nineteen)[\s-](?:oh|ten|eleven|\w+teen|twelve|\w+ty|hundred)\b"
    r"|\btwo thousand(?: and)? (?:one|two|three|four|five|six|seven|eight|nine|\w+teen|\w+ty)\b",
    re.IGNORECASE,
)
SIGN_OF_MEASURE = re.compile(
    rf"(?<![\w/])(?:{'|'.join(map(re.escape, WORDS['measures']['always']))})(?![\w/])", re.IGNORECASE
)
# Unicode categories: emoji and other pictures, arrows, signs of currencies.
PICTURES = ("So", "Sm", "Sc")
FOREIGN = frozenset(WORDS["foreign"])
ENGLISH_WITH_ACCENT = ACCENTED | {*WORDS["more_accented"]}
NUMBERS = frozenset(WORDS["measures"]["numbers"])
SIGNS = frozenset(word for sign in WORDS["measures"]["always"] for word in words_of(sign))


def bracketed_number(reading: Reading) -> str | None:
    """An index, a reference or a take number: "[1]", "(2)", "3. "."""
    if reading.plain:
        return None
    found = BRACKETED_NUMBER.search(reading.caption)
    return found[0].strip() if found else None


def digits(reading: Reading) -> str | None:
    if reading.plain or FIGURE.search(reading.caption) is None:
        return None
    return next(part for part in reading.caption.split() if FIGURE.search(part))


def spelled_units(reading: Reading) -> str | None:
    """A measure in words, or a unit that is left when its figure is deleted."""
    found = None
    if not SIGNS.isdisjoint(reading.words):
        found = SIGN_OF_MEASURE.search(reading.caption)
    if found is None and (not NUMBERS.isdisjoint(reading.words) or "-" in reading.caption):
        found = SPELLED_MEASURE.search(reading.caption) or SPELLED_NUMBER.search(reading.caption)
    return found[0] if found else None


def markup(reading: Reading) -> str | None:
    """Brackets, tags, addresses, file names, slashes between words, pictures such as emoji."""
    if reading.plain:
        return None
    found = MARKUP.search(reading.caption)
    if found is None and not reading.caption.isascii():
        return next((char for char in reading.caption if unicodedata.category(char) in PICTURES), None)
    return found[0] if found else None


def control_characters(reading: Reading) -> str | None:
    """Null bytes, escape codes, half surrogates, unassigned characters, marks over letters.

    A mark that makes one letter with the one before it, as in "é", has been repaired already.
    """
    if reading.plain or (reading.caption.isascii() and reading.caption.isprintable()):
        return None
    char = next(filter(is_control, reading.caption), None)
    return None if char is None else f"U+{ord(char):04X}"


def in_foreign_language(reading: Reading) -> str | None:
    """A letter of another script, or a sentence of another language."""
    stray = None
    if not FOREIGN.isdisjoint(reading.words):
        stray = next(word for word in reading.words if word in FOREIGN)
    if not reading.caption.isascii():
        letter = next((char for char in reading.caption if char.isalpha() and not is_latin(char)), None)
        stray = letter or stray or next(filter(_has_foreign_accent, reading.words), None)
    if stray is None and surely_english(reading.words):
        return None
    return stray or foreign_language(reading.caption, SENTENCE_WORDS)


def _has_foreign_accent(word: str) -> bool:
    letters = "".join(filter(str.isalpha, word))
    return not letters.isascii() and word.removesuffix("s") not in ENGLISH_WITH_ACCENT


RULES = (
    Rule(
        "bracketed_number",
        bracketed_number,
        "It holds the number “{detail}” of a list or a take.",
        presets=("paper", "small", "strict"),
    ),
    Rule("digits", digits, "It holds the figure “{detail}”.", presets=("paper", "small", "strict")),
    Rule(
        "spelled_units",
        spelled_units,
        "It holds the measure “{detail}”.",
        presets=("paper", "small", "strict"),
    ),
    Rule(
        "markup",
        markup,
        "It holds “{detail}”, which is no part of a sentence.",
        presets=("paper", "small", "strict"),
    ),
    Rule(
        "control_characters",
        control_characters,
        "It holds the control character {detail}.",
        presets=("paper", "small", "strict"),
    ),
    Rule(
        "foreign_language",
        in_foreign_language,
        "It is not in English ({detail}).",
        presets=("paper", "small", "strict"),
    ),
)
