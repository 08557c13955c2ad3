"""Rules on the grammar of one caption, as spaCy parses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavcaps_assets.rules.reading import Reading
from wavcaps_assets.rules.repairs import MASS_NOUNS
from wavcaps_assets.rules.rule import SENTENCE_PIPES, Rule

if TYPE_CHECKING:
    from spacy.tokens import Token

NAMES = frozenset({"GPE", "LOC", "NORP", "PERSON", "ORG", "FAC", "PRODUCT", "EVENT", "DATE", "LANGUAGE"})
# Words in capitals that are not names.
CAPITALS = frozenset({"I", "CD", "DJ", "TV", "UFO"})
# Nouns that follow another one: "rain sounds", "water drops".
PLURAL_NOUNS = frozenset({"sound", "noise", "effect", "drop", "droplet", "wave", "instrument", "loop"})


def named_entity(reading: Reading) -> str | None:
    """A proper noun.

    At the start of a sentence only a place counts: there the recogniser takes "Glass" for a person.
    Later in a sentence only names have a capital in English, so a capital is required too.
    """
    first = reading.doc[0]
    if first.ent_type_ in ("GPE", "NORP") and first.pos_ == "PROPN":
        return first.text
    for token in reading.doc[1:]:
        if len(token) == 1:
            # An X-ray, an E string, a U-turn.
            continue
        capital = token.text[0].isupper() and not token.is_sent_start and token.text not in CAPITALS
        if capital and (token.pos_ == "PROPN" or token.ent_type_ in NAMES):
            return token.text
    return None


def _is_verb(token: Token) -> bool:
    """Whether a token is a verb, even if the tagger takes it for a noun.

    It takes "whistles" in "A kettle whistles" and "rolls" in "Thunder rolls" for nouns. But a plural noun
    does not follow "a" or "something", and rarely follows a noun such as "thunder".
    """
    if token.pos_ in ("VERB", "AUX"):
        return True
    ending = token.lower_.endswith("s") and not token.lower_.endswith(("ss", "us", "is"))
    if not ending or token.lower_.removesuffix("s") in PLURAL_NOUNS:
        return False
    before = {child.lower_ for child in token.children}
    return bool(before & {"a", "an", "another", "someone", "something"} or before & MASS_NOUNS)


def _is_finite(verb: Token) -> bool:
    """Whether a verb makes a sentence, unlike "a device whirring" and "a device that whirs"."""
    if verb.dep_ == "relcl":
        return False
    return verb.tag_ not in ("VBG", "VBN") or any(child.dep_ in ("aux", "auxpass") for child in verb.children)


def no_verb(reading: Reading) -> str | None:
    """No verb with a subject; Table I asks for "grammatical subject-verb-object sentences"."""
    for token in reading.doc:
        if token.dep_ in ("nsubj", "nsubjpass", "csubj", "expl") and _is_finite(token.head):
            return None
        if token.dep_ == "ROOT" and _is_verb(token) and _is_finite(token):
            return None
    return "no subject with a verb"


RULES = (
    Rule(
        "named_entity",
        named_entity,
        "It holds the name “{detail}”.",
        presets=("paper", "small", "strict"),
        pipes=SENTENCE_PIPES | {"ner"},
    ),
    Rule(
        "no_verb",
        no_verb,
        "It is not a sentence: it has no subject with a verb.",
        presets=("paper", "small", "strict"),
        pipes=SENTENCE_PIPES,
    ),
)
