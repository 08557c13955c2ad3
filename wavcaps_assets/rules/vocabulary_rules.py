"""Rules on words that a caption must not contain."""

from __future__ import annotations

import re
from functools import lru_cache

from wavcaps_assets.rules.reading import Reading, words_of
from wavcaps_assets.rules.rule import Rule

FREQUENT = frozenset({"as", "an", "sound", "sounds", "music", "with", "from", "this", "that", "and", "the"})


def banned_words(reading: Reading) -> str | None:
    return first_phrase(reading, reading.settings.banned_words)


def meta_words(reading: Reading) -> str | None:
    return first_phrase(reading, reading.settings.meta_words)


def opinion(reading: Reading) -> str | None:
    return first_phrase(reading, reading.settings.opinions)


def first_phrase(reading: Reading, phrases: tuple[str, ...]) -> str | None:
    """The first of some phrases that a caption contains, outside of `settings.harmless`; None: no phrase."""
    keys, pattern = _pattern(phrases, reading.settings.harmless)
    caption, words = reading.caption, reading.words
    if "’" in caption:
        caption = caption.replace("’", "'")
        words = words_of(caption)
    if keys.isdisjoint(words):
        return None
    return next((found["found"] for found in pattern.finditer(caption) if found["found"]), None)


def _rarity(word: str) -> int:
    """A guess: long words are rare, but for those of any caption."""
    return 0 if word in FREQUENT else len(word)


@lru_cache(maxsize=16)
def _pattern(phrases: tuple[str, ...], harmless: tuple[str, ...]) -> tuple[frozenset[str], re.Pattern[str]]:
    """A rare word of each phrase, and a pattern that passes over harmless phrases."""
    either = [
        "|".join(re.escape(phrase) for phrase in sorted(some, key=len, reverse=True))
        for some in (harmless, phrases)
    ]
    # An empty alternation would match everywhere.
    passed, found = (one or "(?!)" for one in either)
    keys = frozenset(max(words_of(phrase), key=_rarity) for phrase in phrases if words_of(phrase))
    return keys, re.compile(rf"(?<!\w)(?:(?:{passed})|(?P<found>{found}))(?!\w)", re.IGNORECASE)


RULES = (
    Rule(
        "banned_words",
        banned_words,
        "It uses the word “{detail}”.",
        presets=("paper", "small", "strict"),
    ),
    Rule(
        "meta_words",
        meta_words,
        "It speaks of the clip instead of the sound: “{detail}”.",
        presets=("paper", "small", "strict"),
    ),
    Rule(
        "opinion",
        opinion,
        "It holds the opinion “{detail}”.",
        presets=("paper", "small", "strict"),
    ),
)
