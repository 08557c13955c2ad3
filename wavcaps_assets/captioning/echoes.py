"""The beginning of each text, which a model repeats before its caption if it is asked to.

A model that repeats a text's first words before it writes the caption does not lose its place in the list,
and the words show which text it is about.
"""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
WORDS = 4
SEPARATOR = " | "
# Added to the instruction. The examples show it.
INSTRUCTION = (
    f"After each index, first repeat the first {WORDS} words of its text, then write “{SEPARATOR.strip()}”, "
    "and then the sentence."
)
INSTRUCTION_STRUCTURED = f'Repeat the first {WORDS} words of each text under "text".'
# What the beginning adds to an answer, for each text (tokens).
TOKENS = 20


def beginning(text: str) -> str:
    """The first words of a text, without punctuation."""
    return " ".join(WORD.findall(text)[:WORDS])


def split(answer: str) -> tuple[str | None, str]:
    """The repeated beginning in a line of a list, if there is one, and the caption."""
    before, found, caption = answer.rpartition(SEPARATOR.strip())
    return (before.strip(), caption.strip()) if found else (None, answer)


def repeats(echo: str, text: str) -> bool:
    """Whether this is the beginning of the text; models may repeat fewer or more words than asked."""
    said, given = WORD.findall(echo.lower()), WORD.findall(text.lower())
    return bool(said) and said == given[: len(said)] and len(said) >= min(2, len(given))
