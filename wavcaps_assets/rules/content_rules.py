"""Rules on what a caption says: faults of small models, as spaCy parses the caption and its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavcaps_assets.rules.reading import Reading
from wavcaps_assets.rules.rule import LEMMA_PIPES, SENTENCE_PIPES, Rule, Verdict

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

# Words that any text about sounds may contain: sharing them does not show that a caption fits its text.
UNSPECIFIC = frozenset(
    {"sound", "noise", "effect", "audio", "something", "someone", "be", "do", "go", "make"}
)
STEM_LETTERS = 4


def _main_verb(reading: Reading) -> Token | None:
    """The main verb; None for "there is"."""
    root = next((token for token in reading.doc if token.dep_ == "ROOT"), None)
    if root is None or any(child.dep_ == "expl" for child in root.children):
        return None
    if root.lemma_ == "be":
        # The tagger takes "mooing" in "A cow is mooing" for a noun, and "flushed" in "A toilet is flushed"
        # for an adjective; and a tape "is fast forwarding".
        following = reading.doc[root.i + 1 : root.i + 3]
        return next((token for token in following if token.lower_.endswith(("ing", "ed"))), root)
    return root


def definition(reading: Reading) -> str | None:
    """ "A gong is an instrument." says what something is, not what it does."""
    verb = _main_verb(reading)
    if verb is not None and verb.lemma_ == "be" and any(child.dep_ == "attr" for child in verb.children):
        return verb.text
    return None


def silent_verb(reading: Reading) -> str | None:
    """The main verb does not describe a sound."""
    verb = _main_verb(reading)
    if verb is None:
        return None
    stem = verb.lower_.removesuffix("ing").removesuffix("ed")
    return verb.text if {verb.lemma_, stem, f"{stem}e"} & set(reading.settings.silent_verbs) else None


def _content(doc: Doc) -> set[str]:
    return {
        token.lemma_.lower()
        for token in doc
        if token.is_alpha and not token.is_stop and token.lemma_.lower() not in UNSPECIFIC
    }


def ungrounded(reading: Reading) -> str | None:
    """No content word in common with the text: small models invent things.

    Two words match if their lemmas do, or their first four letters ("departure", "departs").
    """
    text, caption = _content(reading.text_doc), _content(reading.doc)
    stems = {word[:STEM_LETTERS] for word in text if len(word) >= STEM_LETTERS}
    if caption & text or {word[:STEM_LETTERS] for word in caption} & stems:
        return None
    return f"no word of {reading.text[:60]!r}"


def repeats(reading: Reading) -> str | None:
    """A noun twice, or as a noun and a verb: "A factory is building a factory.", "A sneeze is sneezing."."""
    words = [
        token.lemma_.lower()
        for token in reading.doc
        if token.pos_ in ("NOUN", "PROPN", "VERB", "INTJ") and token.dep_ != "compound"
    ]
    return next((word for word in words if words.count(word) > 1), None)


RULES = (
    Rule(
        "definition",
        definition,
        "It says what something is, not what sounds.",
        presets=("small", "strict"),
        pipes=SENTENCE_PIPES | LEMMA_PIPES,
    ),
    Rule(
        "silent_verb",
        silent_verb,
        "Its verb “{detail}” does not tell of a sound.",
        presets=("small", "strict"),
        pipes=SENTENCE_PIPES | LEMMA_PIPES,
    ),
    # Where a large model wrote the captions, the last two complain of more good captions than bad ones.
    Rule(
        "ungrounded",
        ungrounded,
        "It does not fit the description.",
        presets=("small", "strict"),
        preset_verdicts={"strict": Verdict.ACCEPT},
        pipes=LEMMA_PIPES,
        text_pipes=LEMMA_PIPES,
    ),
    Rule(
        "repeats",
        repeats,
        "It says “{detail}” twice.",
        presets=("small", "strict"),
        preset_verdicts={"strict": Verdict.ACCEPT},
        pipes=SENTENCE_PIPES | LEMMA_PIPES,
    ),
)
