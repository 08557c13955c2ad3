"""How captions are cleaned before the text encoder reads them."""

from __future__ import annotations

import re

SPACE_BEFORE_MARK = re.compile(r'\s([,.!?;:"](?:\s|$))')
MARKS = re.compile(r'[(,.!?;:|*")]')


def clean_caption(caption: str) -> str:
    """Lower-cases a caption and replaces punctuation by spaces, step by step as the released code.

    Runs of spaces are shortened once, not away, and the ends are left alone ("A dog barks." gives
    "a dog barks "); BERT's tokenizer does not see the difference.
    """
    text = SPACE_BEFORE_MARK.sub(r"\1", caption.lower()).replace("  ", " ")
    return MARKS.sub(" ", text).replace("  ", " ")
