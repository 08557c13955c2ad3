"""Rules that only the preset `strict` has."""

from __future__ import annotations

import re

from wavcaps_assets.rules.reading import TEXT_CHARS, WORD, Reading, words_of
from wavcaps_assets.rules.rule import Rule
from wavcaps_assets.rules.vocabulary_rules import first_phrase

# A shorter text has only one wording: "A dog barks." is the caption of "A dog barks".
REPEATED_WORDS = 6
# The start of a text that certainly holds a word other than an article.
TEXT_START = 60
MORE_CHARS = 60
ARTICLES = frozenset({"a", "an", "the"})


def echo_of_text(reading: Reading) -> str | None:
    """The caption is the raw text or its first sentence, word by word."""
    if len(reading.words) < REPEATED_WORDS:
        return None
    first = next(filter(_is_no_article, reading.words), None)
    of_text = (found[0] for found in WORD.finditer(reading.text[:TEXT_START].lower()))
    if first != next(filter(_is_no_article, of_text), None):
        return None
    words = _without_articles(reading.words)
    if len(words) < REPEATED_WORDS:
        return None
    # A text that is longer by more than articles and a few signs is not the same.
    most = len(reading.caption) + MORE_CHARS
    for part in (reading.text, re.split(r"(?<=[.!?])\s", reading.text[:TEXT_CHARS], maxsplit=1)[0]):
        if len(part) <= most and words == _without_articles(words_of(part)):
            return part[:TEXT_START]
    return None


def _without_articles(words: list[str]) -> list[str]:
    return list(filter(_is_no_article, words))


def _is_no_article(word: str) -> bool:
    return word not in ARTICLES


def profanity(reading: Reading) -> str | None:
    return first_phrase(reading, reading.settings.profanity)


RULES = (
    Rule("echo_of_text", echo_of_text, "It only repeats the description.", presets=("strict",)),
    Rule("profanity", profanity, "It holds the obscene word “{detail}”.", presets=("strict",)),
)
