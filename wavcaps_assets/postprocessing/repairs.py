"""What can be mended in a caption without asking again."""

from __future__ import annotations

import re
from collections.abc import Callable

VOWEL_SOUND = re.compile(r"\b([Aa])(?= (?!one\b|once\b|uni|eu|us[ei]|ut[ei]|ukulele)[aeiou])", re.IGNORECASE)


def whitespace(caption: str) -> str:
    return " ".join(caption.split())


def quotation_marks(caption: str) -> str:
    """Takes away quotation marks and Markdown's asterisks; apostrophes stay."""
    return re.sub(r"[\"“”„«»*`]", "", caption)


def capital(caption: str) -> str:
    return caption[:1].upper() + caption[1:]


def full_stop(caption: str) -> str:
    """Ends the caption with one full stop: every released caption ends in one."""
    return caption.rstrip(" .,;:!…") + "." if caption else caption


def article(caption: str) -> str:
    """ "A owl" is "An owl"."""
    return VOWEL_SOUND.sub(r"\1n", caption)


REPAIRS: dict[str, Callable[[str], str]] = {
    repair.__name__: repair for repair in (quotation_marks, whitespace, capital, full_stop, article)
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
