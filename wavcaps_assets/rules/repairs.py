"""Repairs of a caption without asking a model again.

Most repairs are made before the rules are applied. Two have the name of a rule, and are made if the verdict
of that rule is `repair`: what they remove may have a meaning.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Collection
from functools import lru_cache

from wavcaps_assets.rules.articles import with_articles

# Nouns for sounds that take no article.
MASS_NOUNS = frozenset(
    {"applause", "electricity", "fire", "glass", "laughter", "lightning", "metal", "music", "paper", "rain"}
    | {"steam", "thunder", "traffic", "water", "wind", "wood"}
)
NEVER_COUNTED = MASS_NOUNS - {"fire", "glass", "metal", "paper", "wind", "wood"}
VERBS_AFTER = r"(?:is|has|keeps|can (?:[a-z]+ly )?be)\b"
WITH_ARTICLE = re.compile(rf"[aA](?<!\w[aA])[nN]? (?i:({'|'.join(sorted(NEVER_COUNTED))})(?= {VERBS_AFTER}))")
BRACKETED_NUMBER = re.compile(r"[(\[{<]\s*\d{1,6}(?:[.,:]\d+)?\s*[)\]}>]|^\d{1,6}[.):]\s")
# The mark of a list item or a quoted line: "- A dog is barking."
LIST_MARK = re.compile(r"\A\s*[-–—•·●▪‣>]+\s*(?=\w)")
MARKS = ("Mn", "Me")
QUOTATION_MARKS = re.compile(r"[\"“”„«»`]")
# Asterisks inside a word censor it ("sh*t"): without them the word would look like another one. So do
# several at the end of a word ("f***"), unless others before it make them Markdown.
OPENING_ASTERISKS = r"(?<![^\W_])(?<!\*)\*+"
EMPHASIS = re.compile(rf"{OPENING_ASTERISKS}(?=[^\W_])")
MARKDOWN_ASTERISKS = re.compile(rf"{OPENING_ASTERISKS}|\*+(?![^\W_]|\*)")
LOOSE_ASTERISKS = re.compile(rf"{OPENING_ASTERISKS}|(?<!\*)\*(?![^\W_]|\*)")


def entities(caption: str) -> str:
    """Replaces HTML entities: "rain &amp; wind" is "rain & wind"."""
    return html.unescape(caption) if "&" in caption else caption


def composed(caption: str) -> str:
    """Combines a letter and the mark over it into one character (Unicode NFC)."""
    return caption if caption.isascii() else unicodedata.normalize("NFC", caption)


def invisible(caption: str) -> str:
    """Removes format characters: soft hyphens, byte order marks, changes of direction."""
    if caption.isprintable():
        return caption
    return "".join(char for char in caption if unicodedata.category(char) != "Cf")


def is_control(char: str) -> bool:
    """Whether a character is a null byte, an escape code, half a surrogate or a combining mark."""
    return not char.isprintable() or unicodedata.category(char) in MARKS


def control_characters(caption: str) -> str:
    """Removes what the rule of this name finds. Spaces of any kind are left for `whitespace`."""
    if caption.isascii() and caption.isprintable():
        return caption
    return "".join(char for char in caption if char.isspace() or not is_control(char))


def bracketed_number(caption: str) -> str:
    """Removes what the rule of this name finds: "A dog is barking [1]." """
    return BRACKETED_NUMBER.sub(" ", caption)


def whitespace(caption: str) -> str:
    return " ".join(caption.split())


def list_mark(caption: str) -> str:
    """Removes the mark of a list item: "- A dog is barking." """
    return caption if caption[:1].isalnum() else LIST_MARK.sub("", caption, count=1)


def quotation_marks(caption: str) -> str:
    """Removes quotation marks and Markdown's asterisks, but not apostrophes."""
    if "*" in caption:
        asterisks = MARKDOWN_ASTERISKS if EMPHASIS.search(caption) else LOOSE_ASTERISKS
        caption = asterisks.sub("", caption)
    return QUOTATION_MARKS.sub("", caption)


def capital(caption: str) -> str:
    return caption[:1].upper() + caption[1:]


def full_stop(caption: str) -> str:
    """Ends the caption with one full stop: every released caption ends in one."""
    return caption.rstrip(" .,;:!…") + "." if caption else caption


def article(caption: str) -> str:
    """ "A owl" is "An owl", and "An hip hop band" is "A hip hop band"."""
    return with_articles(caption)


def _noun_alone(found: re.Match[str]) -> str:
    # A function: a template would be looked up for each caption.
    return found[1]


def mass_noun(caption: str) -> str:
    """ "A water is running" is "Water is running"."""
    return WITH_ARTICLE.sub(_noun_alone, caption)


# In the order in which they are made.
REPAIRS: dict[str, Callable[[str], str]] = {
    repair.__name__: repair
    for repair in (
        entities,
        invisible,
        composed,
        control_characters,
        bracketed_number,
        list_mark,
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

    Repairs are made until none of them changes anything: a published caption needs no repair.

    Args:
        names: the repairs to make.
    """
    made: dict[str, None] = {}
    before = None
    chosen = _chosen(frozenset(names))
    while caption != before:
        before = caption
        for name, repair in chosen:
            if (after := repair(caption)) != caption:
                made[name] = None
                caption = after
    return caption, list(made)


@lru_cache(maxsize=16)
def _chosen(names: frozenset[str]) -> tuple[tuple[str, Callable[[str], str]], ...]:
    return tuple((name, repair) for name, repair in REPAIRS.items() if name in names)
