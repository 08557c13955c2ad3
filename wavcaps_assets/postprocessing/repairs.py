"""What can be mended in a caption without asking again."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable

# What sounds and takes no article.
MASS_NOUNS = frozenset(
    {"applause", "electricity", "fire", "glass", "laughter", "lightning", "metal", "music", "paper", "rain"}
    | {"steam", "thunder", "traffic", "water", "wind", "wood"}
)
NEVER_COUNTED = MASS_NOUNS - {"fire", "glass", "metal", "paper", "wind", "wood"}
WITH_ARTICLE = re.compile(
    rf"\ban? ({'|'.join(sorted(NEVER_COUNTED))})(?= (?:is|has|can|keeps)\b)", re.IGNORECASE
)
QUOTATION_MARKS = re.compile(r"[\"“”„«»*`]")
VOWEL_SOUND = re.compile(r"\b([Aa])(?= (?!one\b|once\b|uni|eu|us[ei]|ut[ei]|ukulele)[aeiou])", re.IGNORECASE)

# A word in small letters: an acronym is spelt out, and "an MP3" is right.
CONSONANT_SOUND = re.compile(
    r"\b([Aa])n(?= (?:(?!hour|honest|honou?r|heir|herb)[bcdfghj-np-tv-z][a-z]|one\b|once\b))"
)


def entities(caption: str) -> str:
    """HTML's names of characters: "rain &amp; wind" is "rain & wind"."""
    return html.unescape(caption) if "&" in caption else caption


def composed(caption: str) -> str:
    """A letter and the mark over it as one character (Unicode's form C)."""
    return caption if caption.isascii() else unicodedata.normalize("NFC", caption)


def invisible(caption: str) -> str:
    """Takes away characters that only format: soft hyphens, byte order marks, changes of direction."""
    if caption.isprintable():
        return caption
    return "".join(char for char in caption if unicodedata.category(char) != "Cf")


def whitespace(caption: str) -> str:
    return " ".join(caption.split())


def quotation_marks(caption: str) -> str:
    """Takes away quotation marks and Markdown's asterisks; apostrophes stay."""
    return QUOTATION_MARKS.sub("", caption)


def capital(caption: str) -> str:
    return caption[:1].upper() + caption[1:]


def full_stop(caption: str) -> str:
    """Ends the caption with one full stop: every released caption ends in one."""
    return caption.rstrip(" .,;:!…") + "." if caption else caption


def article(caption: str) -> str:
    """ "A owl" is "An owl", and "An hip hop band" is "A hip hop band"."""
    return CONSONANT_SOUND.sub(r"\1", VOWEL_SOUND.sub(r"\1n", caption))


def mass_noun(caption: str) -> str:
    """ "A water is running" is "Water is running"."""
    if NEVER_COUNTED.isdisjoint(caption.lower().split()):
        return caption
    return WITH_ARTICLE.sub(r"\1", caption)


REPAIRS: dict[str, Callable[[str], str]] = {
    repair.__name__: repair
    for repair in (
        entities,
        invisible,
        composed,
        quotation_marks,
        whitespace,
        mass_noun,
        article,
        capital,
        full_stop,
    )
}


def repaired(caption: str) -> tuple[str, list[str]]:
    """The caption after all repairs, and the names of those that changed it."""
    made = []
    for name, repair in REPAIRS.items():
        mended = repair(caption)
        if mended != caption:
            made.append(name)
            caption = mended
    return caption, made
