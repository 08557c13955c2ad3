"""What can be mended in a caption without asking again.

Most repairs stand by themselves, and come before any rule. Two go by the name of a rule, and are made where
that rule's verdict is `repair`: what they take away may have meant something.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Collection

# What sounds and takes no article.
MASS_NOUNS = frozenset(
    {"applause", "electricity", "fire", "glass", "laughter", "lightning", "metal", "music", "paper", "rain"}
    | {"steam", "thunder", "traffic", "water", "wind", "wood"}
)
NEVER_COUNTED = MASS_NOUNS - {"fire", "glass", "metal", "paper", "wind", "wood"}
WITH_ARTICLE = re.compile(
    rf"\ban? ({'|'.join(sorted(NEVER_COUNTED))})(?= (?:is|has|can|keeps)\b)", re.IGNORECASE
)
BRACKETED_NUMBER = re.compile(r"[(\[{<]\s*\d{1,6}(?:[.,:]\d+)?\s*[)\]}>]|^\d{1,6}[.):]\s")
MARKS = ("Mn", "Me")
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


def is_control(char: str) -> bool:
    """A null byte, an escape code, half a surrogate, a mark over a letter."""
    return not char.isprintable() or unicodedata.category(char) in MARKS


def control_characters(caption: str) -> str:
    """Takes away what the rule of this name complains of; spaces of any kind stay, for `whitespace`."""
    if caption.isascii() and caption.isprintable():
        return caption
    return "".join(char for char in caption if char.isspace() or not is_control(char))


def bracketed_number(caption: str) -> str:
    """Takes away what the rule of this name complains of: "A dog is barking [1]." """
    return BRACKETED_NUMBER.sub(" ", caption)


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
    # Functions, since a template is taken apart at every call, whether anything is found or not.
    with_n = VOWEL_SOUND.sub(lambda found: f"{found[1]}n", caption)
    return CONSONANT_SOUND.sub(lambda found: found[1], with_n)


def mass_noun(caption: str) -> str:
    """ "A water is running" is "Water is running"."""
    if NEVER_COUNTED.isdisjoint(caption.lower().split()):
        return caption
    return WITH_ARTICLE.sub(r"\1", caption)


# In the order in which they are made.
REPAIRS: dict[str, Callable[[str], str]] = {
    repair.__name__: repair
    for repair in (
        entities,
        invisible,
        composed,
        control_characters,
        bracketed_number,
        quotation_marks,
        whitespace,
        mass_noun,
        article,
        capital,
        full_stop,
    )
}
RULES_WITH_REPAIR = ("control_characters", "bracketed_number")
BEFORE_RULES = tuple(name for name in REPAIRS if name not in RULES_WITH_REPAIR)


def repaired(caption: str, names: Collection[str] = BEFORE_RULES) -> tuple[str, list[str]]:
    """The caption after repair, and the names of the repairs that changed it.

    Nothing is left that one of them would change: a caption that is published needs no repair.

    Args:
        names: the repairs that are made.
    """
    made: dict[str, None] = {}
    before = None
    while caption != before:
        before = caption
        for name, repair in REPAIRS.items():
            if name in names and (mended := repair(caption)) != caption:
                made[name] = None
                caption = mended
    return caption, list(made)
