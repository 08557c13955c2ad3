"""Cleans captions before the text encoder reads them."""

from __future__ import annotations

import re

SPACE_BEFORE_MARK = re.compile(r'\s([,.!?;:"](?:\s|$))')
MARKS = re.compile(r'[(,.!?;:|*")]')


def clean_caption(caption: str) -> str:
    """Lower-cases a caption and replaces punctuation by spaces, in the same steps as the released code.

    Runs of spaces are shortened only once, and the ends are not stripped ("A dog barks." becomes
    "a dog barks "); this makes no difference to BERT's tokenizer.
    """
    text = SPACE_BEFORE_MARK.sub(r"\1", caption.lower()).replace("  ", " ")
    return MARKS.sub(" ", text).replace("  ", " ")
