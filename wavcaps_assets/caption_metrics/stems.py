"""The stem of an English word: M. F. Porter, "An algorithm for suffix stripping" (1980)."""

from __future__ import annotations

import re
from functools import lru_cache

# A word as consonants and vowels: [C](VC)^m[V].
VC = re.compile(r"v+c+")
STEP_2 = (
    {"ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize"}
    | {"abli": "able", "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous"}
    | {"ization": "ize", "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive"}
    | {"fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble"}
)
STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment"),
    *("ent", "ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize"),
)


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The stem of a word in lower case: "barks", "barking" and "barked" have the same."""
    if len(word) <= 2:
        return word
    word = _plural(word)
    word = _past(word)
    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    word = _replaced(_replaced(word, STEP_2), STEP_3)
    suffix = max((end for end in STEP_4 if word.endswith(end)), key=len, default="")
    if suffix:
        base = word.removesuffix(suffix)
        if _measure(base) > 1 and (suffix != "ion" or base.endswith(("s", "t"))):
            word = base
    if word.endswith("e"):
        base = word[:-1]
        if _measure(base) > 1 or (_measure(base) == 1 and not _ends_cvc(base)):
            word = base
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word


def _plural(word: str) -> str:
    for end, replacement in (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")):
        if word.endswith(end):
            return word.removesuffix(end) + replacement
    return word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    end = next((end for end in ("ed", "ing") if word.endswith(end)), "")
    base = word.removesuffix(end)
    if not end or "v" not in _shape(base):
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if len(base) > 1 and base[-1] == base[-2] and _shape(base)[-1] == "c" and base[-1] not in "lsz":
        return base[:-1]
    return base + "e" if _measure(base) == 1 and _ends_cvc(base) else base


def _replaced(word: str, endings: dict[str, str]) -> str:
    """The word with its longest ending replaced, if something is left before it."""
    suffix = max((end for end in endings if word.endswith(end)), key=len, default="")
    base = word.removesuffix(suffix)
    return base + endings[suffix] if suffix and _measure(base) > 0 else word


def _shape(word: str) -> str:
    """A `v` for each vowel and a `c` for each consonant; a `y` after a consonant is a vowel."""
    shape = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and shape.endswith("c"))
        shape += "v" if vowel else "c"
    return shape


def _measure(word: str) -> int:
    return len(VC.findall(_shape(word)))


def _ends_cvc(word: str) -> bool:
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"
