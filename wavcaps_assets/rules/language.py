"""Finds texts that are certainly not English. Short texts count as English."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# The languages of FreeSound's uploaders that use Latin letters. Fewer candidates make fewer mistakes.
CANDIDATES = (
    "en",
    "de",
    "fr",
    "es",
    "it",
    "pt",
    "nl",
    "pl",
    "sv",
    "da",
    "no",
    "fi",
    "cs",
    "hu",
    "ro",
    "tr",
    "ca",
)
# With fewer than four words the result is random: "Dijjeridoo" would be Indonesian. At these two thresholds,
# 3 of 12,363 English descriptions (BBC, SoundBible) and 35 of 41 foreign phrases are found to be foreign.
MIN_WORDS = 4
MIN_PROBABILITY = 0.7
# Frequent words of captions that are rare in the other languages. Most captions have two, and do not need the
# identifier, which takes ten times as long as all other rules without a parser.
ENGLISH = frozenset(
    {
        "the",
        "and",
        "with",
        "while",
        "someone",
        "something",
        "is",
        "are",
        "being",
        "by",
        "then",
        "from",
        "into",
    }
    | {"their", "another", "through", "there", "several", "after", "before", "during", "which"}
    | {"up", "down", "out", "off", "away", "sound", "sounds", "noise", "noises", "heard", "loud", "loudly"}
    | {"dog", "rain", "water", "wind", "door", "engine", "machine", "crowd", "footsteps", "street", "heavy"}
    | {"wooden", "barks", "rattles", "near", "busy", "steam", "old", "yard", "bell", "thunder", "whistle"}
    | {"background", "distance", "people", "woman", "bird", "birds", "music", "says", "speaks", "plays"}
)
ENGLISH_SHARE = 0.2


def surely_english(words: Sequence[str]) -> bool:
    """Whether enough words of a sentence are English to do without the identifier."""
    known = len(ENGLISH.intersection(words))
    least = max(2, ENGLISH_SHARE * len(words))
    return known >= least or (known > 0 and known + sum(word.endswith("ing") for word in words) >= least)


@lru_cache(maxsize=1)
def identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    model.set_languages(CANDIDATES)
    return model


def is_latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith(("LATIN", "FEMININE", "MASCULINE"))


def mostly_not_latin(text: str) -> bool:
    if text.isascii():
        return False
    letters = [char for char in text if char.isalpha()]
    return 2 * sum(not is_latin(char) for char in letters) > len(letters)


def foreign_language(text: str, min_words: int = MIN_WORDS) -> str | None:
    """The language of a text that is certainly not English, else None.

    Args:
        text: any text.
        min_words: for shorter texts, only the script is checked.

    Returns:
        An ISO 639-1 code, or `another script` if most letters are not Latin.
    """
    if mostly_not_latin(text):
        return "another script"
    if len(text.split()) < min_words:
        return None
    language, probability = identifier().classify(text)
    return language if language != "en" and probability >= MIN_PROBABILITY else None
