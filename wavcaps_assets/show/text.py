"""Crawled text as the report shows it."""

from __future__ import annotations

import unicodedata

LONGEST_SHOWN = 280


def shown(text: str | None) -> str:
    """A text on one line, without control characters, and cut where it is long."""
    line = " ".join((text or "").split())
    line = "".join(character for character in line if unicodedata.category(character) != "Cc")
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 1].rstrip() + "…"
