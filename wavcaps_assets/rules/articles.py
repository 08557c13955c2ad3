"""Chooses "a" or "an" by the pronunciation of the next word, or not at all if that is unclear.

The rules follow English spelling. `tests/rules/test_articles.py` compares them with the CMU Pronouncing
Dictionary (http://www.speech.cs.cmu.edu/cgi-bin/cmudict) and with captions of people. Of its 117,393 words
with one kind of first sound they get 108 wrong, mostly foreign names; the library inflect 7.6 gets 188
wrong, and chooses where these rules leave a caption alone ("a LED").
"""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache

# An article, and the first part of the word after it: "one" of "one-way", "MP3". A later capital is not an
# article: "The note A is played." Neither is it before a word that follows no article: "A and E are played."
NO_NOUN = r"(?:and|are|at|in|is|of|on|or|the)\b(?!-)"
# The letter comes first, and what is before it second: so letters that are no "a" are skipped fast.
BEFORE_WORD = re.compile(rf"(A(?<![\s\S]A)|a(?<!\wa))(n?)(?= (?!{NO_NOUN})([^\W_]+)(?![^\W_]))")
VOWELS = frozenset("aeiou")
# Letters whose own name begins with a vowel: "an FM radio", "an X-ray".
VOWEL_NAMES = frozenset("aefhilmnorsx")
# "Honest" and "hors d'oeuvre"; speakers differ on "herb", "homage" and "historic".
SILENT_H = re.compile(r"hour|honest|honou?r|heir(?!o)|hors$")
UNCLEAR_H = re.compile(r"herb|homage|histor|habitual|hotel|hysteri")
# "One" and "once" begin as "won"; "euro", "ewe" and "oui" as "you" and "we".
CONSONANT_VOWELS = re.compile(r"one(?:s|sies?|self|ness|time|year)?$|once$|eu|ew|ou[ai]")
# "Unable" and "uninterrupted" begin with the prefix "un", but "unanimous", "unicorn" and "union" as "you".
PREFIX_UN = re.compile(r"un(?!anim|abom|esc)[aeou]|uni(?:d(?!i)|m[pam]|n|ll|r(?!o)|ss)")
AS_YOU = re.compile(r"u(?!ber|buntu|zi)(?:[bcdfgjklmnqrstvwxz][aeiou]|kr|lys)")
LONGEST_ACRONYM = 4
# Acronyms that could be read as words and are not.
SPELLED_OUT = frozenset({"hvac", "mri", "sos", "suv"})
# Eight, eleven and eighteen; 1100 and 1800 can be read in two ways.
NUMBER_WITH_VOWEL = re.compile(r"8|1[18](?!\d)")
UNCLEAR_NUMBER = re.compile(r"1[18]\d\d(?!\d)")


@lru_cache(maxsize=50_000)
def begins_with_vowel(word: str) -> bool | None:
    """Whether a word begins with a vowel sound; None if that is unclear.

    Args:
        word: letters and digits, with the capitals of the caption.
    """
    if word[0] in string.digits:
        return None if UNCLEAR_NUMBER.match(word) else NUMBER_WITH_VOWEL.match(word) is not None
    plain = unicodedata.normalize("NFD", word)
    first = plain[0].lower()
    if not first.isascii() or not first.isalpha():
        return None
    if len(word) == 1:
        # "A E string". A small letter is more likely a slip.
        return first in VOWEL_NAMES if word.isupper() else None
    lowered = "".join(char for char in plain.lower() if char.isalnum())
    if word.isupper() or not VOWELS & set(lowered.replace("y", "i")):
        return _of_acronym(word, lowered)
    return _of_word(lowered)


def _of_acronym(word: str, lowered: str) -> bool | None:
    """Letters that are spelled out, such as "MP3", or read as a word, such as "NASA"."""
    spelled = lowered[0] in VOWEL_NAMES
    if not VOWELS & set(lowered.replace("y", "i")):
        # "Shh" and "brr" are read as they are written.
        return spelled if word.isupper() else None
    if lowered.removesuffix("s") in SPELLED_OUT or lowered in SPELLED_OUT:
        return spelled
    if lowered[0] == "u" and len(word) <= LONGEST_ACRONYM:
        return False
    return spelled if spelled == _of_word(lowered) else None


def _of_word(lowered: str) -> bool | None:
    first = lowered[0]
    if first == "h":
        if SILENT_H.match(lowered):
            return True
        return None if UNCLEAR_H.match(lowered) else False
    if first == "y":
        return lowered[1] not in VOWELS
    if first == "x":
        return lowered[1] not in VOWELS | {"y"}
    if first not in VOWELS:
        return False
    if first == "u":
        return bool(PREFIX_UN.match(lowered)) or lowered.startswith("up") or not AS_YOU.match(lowered)
    return not CONSONANT_VOWELS.match(lowered)


def with_articles(caption: str) -> str:
    """The caption with "a" and "an" as the next word is pronounced."""
    return BEFORE_WORD.sub(_chosen, caption)


def _chosen(found: re.Match[str]) -> str:
    vowel = begins_with_vowel(found[3])
    if vowel is None:
        return found[0]
    return f"{found[1]}n" if vowel else found[1]
