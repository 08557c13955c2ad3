"""Rules on the words and signs of one caption. Each says what it saw, or None where it finds no fault."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wavcaps_assets.captioning.parsing import is_failure
from wavcaps_assets.postprocessing.language import foreign_language, is_latin
from wavcaps_assets.postprocessing.reading import Reading, words_of

ECHOED_WORDS = 5
# "A sneeze is sneezing." has too few words to tell its language by.
SENTENCE_WORDS = 5


def failure(seen: Reading) -> str | None:
    """The model says that the text is not about a sound."""
    return seen.caption if is_failure(seen.caption) else None


def too_short(seen: Reading) -> str | None:
    count = len(seen.words)
    return f"{count} words" if count < seen.settings.min_words else None


def too_long(seen: Reading) -> str | None:
    count = len(seen.words)
    return f"{count} words" if count > seen.settings.max_words else None


def several_sentences(seen: Reading) -> str | None:
    return "full stop inside" if re.search(r"[.!?…]['\"”)]?\s+\S", seen.caption) else None


def _first_phrase(caption: str, phrases: Iterable[str]) -> str | None:
    found = re.search(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b", caption, re.IGNORECASE)
    return found[0] if found else None


def banned_words(seen: Reading) -> str | None:
    return _first_phrase(seen.caption, seen.settings.banned_words)


def meta_words(seen: Reading) -> str | None:
    return _first_phrase(seen.caption, seen.settings.meta_words)


def digits(seen: Reading) -> str | None:
    """Figures, and units of measure that stay behind when a figure is deleted."""
    found = re.search(r"\S*\d\S*|\b(?:k?Hz|dB|bpm|mph|km/h|kbps)\b", seen.caption, re.IGNORECASE)
    return found[0] if found else None


def markup(seen: Reading) -> str | None:
    """Brackets, addresses, file names, and slashes between words."""
    found = re.search(
        r"[()\[\]{}<>\"“”„«»*_`#|\\=~^@/]|www\.|\w\.(?:com|org|net|wav|mp3|aiff?|flac|ogg)\b", seen.caption
    )
    return found[0] if found else None


def in_foreign_language(seen: Reading) -> str | None:
    """A letter of another script, or a sentence of another language."""
    stray = next((char for char in seen.caption if char.isalpha() and not is_latin(char)), None)
    return stray or foreign_language(seen.caption, SENTENCE_WORDS)


def echo(seen: Reading) -> str | None:
    """Words of the prompt: five in a row of a sentence that the model was shown, and not of the text."""
    caption = seen.words
    runs = [
        " ".join(caption[start : start + ECHOED_WORDS]) for start in range(len(caption) - ECHOED_WORDS + 1)
    ]
    text = " ".join(words_of(seen.text))
    told = [" ".join(words_of(sentence)) for sentence in seen.prompt] if runs else []
    return next((run for run in runs if run not in text and any(run in sentence for sentence in told)), None)
