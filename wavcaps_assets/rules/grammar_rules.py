"""Rules on the grammar of one caption, as spaCy parses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavcaps_assets.rules.clauses import main_verb
from wavcaps_assets.rules.possible_verbs import FINITE
from wavcaps_assets.rules.reading import Reading, is_word
from wavcaps_assets.rules.rule import SENTENCE_PIPES, Rule
from wavcaps_assets.rules.word_lists import NAMES, WORDS

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

ENTITIES = frozenset({"GPE", "LOC", "NORP", "PERSON", "ORG", "FAC", "PRODUCT", "EVENT", "DATE", "LANGUAGE"})
PLACES = frozenset({"GPE", "LOC", "NORP", "FAC", "EVENT", "LANGUAGE"})
# Words in capitals that are not names.
CAPITALS = frozenset({"I", "CD", "DJ", "TV", "UFO"})
BRANDS = frozenset(WORDS["brands"])
NAMES_BEFORE_VERBS = frozenset(WORDS["names_before_verbs"])


def named_entity(reading: Reading) -> str | None:
    """A proper noun: a name that English writes with a capital only, or one that spaCy recognises.

    The recogniser takes many first words for names ("Wooden", "Water"), so a first word has to be unknown to
    WordNet, or a given name with a verb after it. Later in a sentence only names have a capital in English.
    """
    doc = reading.doc
    listed = next((token.text for token in doc if token.lower_ in NAMES), None)
    if listed is not None or reading.caption.isupper():
        return listed
    if _is_first_name(doc):
        return doc[0].text
    return next((token.text for token in doc[1:] if _is_later_name(token)), None)


def _is_first_name(doc: Doc) -> bool:
    first = doc[0]
    if first.pos_ != "PROPN" or len(first) == 1 or first.text in CAPITALS:
        return False
    if first.lower_ in NAMES_BEFORE_VERBS:
        return len(doc) > 1 and doc[1].tag_ in FINITE
    return first.is_alpha and not first.is_upper and not is_word(first.lower_)


def _is_later_name(token: Token) -> bool:
    if len(token) == 1 or token.is_sent_start or token.text in CAPITALS or not token.text[0].isupper():
        # An X-ray, an E string, a U-turn.
        return False
    if is_word(token.lower_):
        # "The Water" is a slip. "Times Square" has two capitals.
        beside = (token.nbor(-1), *([token.nbor()] if token.i + 1 < len(token.doc) else []))
        if token.lower_ in NAMES_BEFORE_VERBS or token.lower_ in BRANDS:
            return True
        if token.ent_type_ in PLACES and token.nbor(-1).tag_ == "IN":
            # "In Bath", but not "in a Subway".
            return True
        return any(one.text[0].isupper() and one.i > 0 for one in beside)
    return token.pos_ == "PROPN" or token.ent_type_ in ENTITIES


def no_verb(reading: Reading) -> str | None:
    """No main clause; Table I asks for "grammatical subject-verb-object sentences"."""
    return "no subject with a verb" if main_verb(reading.doc) is None else None


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
