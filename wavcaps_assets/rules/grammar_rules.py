"""Rules on the grammar and content of one caption, as spaCy parses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavcaps_assets.rules.reading import Reading
from wavcaps_assets.rules.repairs import MASS_NOUNS

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

NAMES = frozenset({"GPE", "LOC", "NORP", "PERSON", "ORG", "FAC", "PRODUCT", "EVENT", "DATE", "LANGUAGE"})
# Written in capitals, but no names.
CAPITALS = frozenset({"I", "CD", "DJ", "TV", "UFO"})
# Words that any text about sounds may hold: to share them is no sign that a caption fits its text.
UNTELLING = frozenset({"sound", "noise", "effect", "audio", "something", "someone", "be", "do", "go", "make"})
STEM_LETTERS = 4
# Nouns that stand after another one: "rain sounds", "water drops".
PLURAL_NOUNS = frozenset({"sound", "noise", "effect", "drop", "droplet", "wave", "instrument", "loop"})


def named_entity(seen: Reading) -> str | None:
    """A proper noun.

    At the start of a sentence only a place counts: there the recogniser takes "Glass" for a person.
    Further on nothing but a name has a capital in English, so the capital is asked for too.
    """
    first = seen.doc[0]
    if first.ent_type_ in ("GPE", "NORP") and first.pos_ == "PROPN":
        return first.text
    for token in seen.doc[1:]:
        if len(token) == 1:
            # An X-ray, an E string, a U-turn.
            continue
        capital = token.text[0].isupper() and not token.is_sent_start and token.text not in CAPITALS
        if capital and (token.pos_ == "PROPN" or token.ent_type_ in NAMES):
            return token.text
    return None


def _is_verb(token: Token) -> bool:
    """Whether a token is a verb, also where the tagger takes it for a noun.

    It takes "whistles" in "A kettle whistles" and "rolls" in "Thunder rolls" for nouns; but no noun in
    the plural follows "a" or "something", and few follow a noun such as "thunder".
    """
    if token.pos_ in ("VERB", "AUX"):
        return True
    ending = token.lower_.endswith("s") and not token.lower_.endswith(("ss", "us", "is"))
    if not ending or token.lower_.removesuffix("s") in PLURAL_NOUNS:
        return False
    before = {child.lower_ for child in token.children}
    return bool(before & {"a", "an", "another", "someone", "something"} or before & MASS_NOUNS)


def _is_finite(verb: Token) -> bool:
    """Whether a verb makes a sentence: neither "a device whirring" nor "a device that whirs" is one."""
    if verb.dep_ == "relcl":
        return False
    return verb.tag_ not in ("VBG", "VBN") or any(child.dep_ in ("aux", "auxpass") for child in verb.children)


def no_verb(seen: Reading) -> str | None:
    """No verb with a subject, as "grammatical subject-verb-object sentences" have (Table I)."""
    for token in seen.doc:
        if token.dep_ in ("nsubj", "nsubjpass", "csubj", "expl") and _is_finite(token.head):
            return None
        if token.dep_ == "ROOT" and _is_verb(token) and _is_finite(token):
            return None
    return "no subject with a verb"


def _main_verb(seen: Reading) -> Token | None:
    """The main verb, other than that of "there is"."""
    root = next((token for token in seen.doc if token.dep_ == "ROOT"), None)
    if root is None or any(child.dep_ == "expl" for child in root.children):
        return None
    if root.lemma_ == "be":
        # "mooing" in "A cow is mooing" is a noun to the tagger; and a tape "is fast forwarding".
        following = seen.doc[root.i + 1 : root.i + 3]
        return next((token for token in following if token.lower_.endswith("ing")), root)
    return root


def definition(seen: Reading) -> str | None:
    """ "A gong is an instrument." says what something is, not what it does."""
    verb = _main_verb(seen)
    if verb is not None and verb.lemma_ == "be" and any(child.dep_ == "attr" for child in verb.children):
        return verb.text
    return None


def silent_verb(seen: Reading) -> str | None:
    """The main verb tells of no sound."""
    verb = _main_verb(seen)
    if verb is None:
        return None
    stem = verb.lower_.removesuffix("ing")
    return verb.text if {verb.lemma_, stem, f"{stem}e"} & set(seen.settings.silent_verbs) else None


def _content(doc: Doc) -> set[str]:
    return {
        token.lemma_.lower()
        for token in doc
        if token.is_alpha and not token.is_stop and token.lemma_.lower() not in UNTELLING
    }


def ungrounded(seen: Reading) -> str | None:
    """No content word in common with the text: small models make things up.

    Words are alike if their lemmas are, or their first four letters ("departure", "departs").
    """
    text, caption = _content(seen.text_doc), _content(seen.doc)
    stems = {word[:STEM_LETTERS] for word in text if len(word) >= STEM_LETTERS}
    if caption & text or {word[:STEM_LETTERS] for word in caption} & stems:
        return None
    return f"no word of {seen.text[:60]!r}"


def repeats(seen: Reading) -> str | None:
    """A noun twice, or as its own verb: "A factory is building a factory.", "A sneeze is sneezing."."""
    told = [
        token.lemma_.lower()
        for token in seen.doc
        if token.pos_ in ("NOUN", "PROPN", "VERB", "INTJ") and token.dep_ != "compound"
    ]
    return next((word for word in told if told.count(word) > 1), None)
