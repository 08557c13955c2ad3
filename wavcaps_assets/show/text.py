"""Crawled text for the report."""

from __future__ import annotations

import unicodedata

MAX_SHOWN_CHARS = 280


def shown(text: str | None) -> str:
    """A text on one line, without control characters, shortened to a maximum length."""
    line = " ".join((text or "").split())
    line = "".join(character for character in line if unicodedata.category(character) != "Cc")
    return line if len(line) <= MAX_SHOWN_CHARS else line[: MAX_SHOWN_CHARS - 1].rstrip() + "…"
