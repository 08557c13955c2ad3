"""Sentences about a sound from the parse of a description: its own, or made of its phrases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wavcaps_assets.captioning.floor.sound_words import clause, gerund, lexicon, lists, with_article
from wavcaps_assets.rules.grammar_rules import ENTITIES
from wavcaps_assets.rules.word_lists import WORDS

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

MAX_PREDICATE_WORDS = 10
SILENT = frozenset(WORDS["silent_verbs"]) | frozenset(
    [
        "make",
        "use",
        "want",
        "need",
        "like",
        "sound",
        "request",
        "record",
        "create",
        "edit",
        "mix",
        "take",
        "get",
        "give",
        "try",
        "feel",
        "think",
        "know",
        "see",
        "find",
        "suit",
        "enjoy",
        "include",
        "say",
        "mean",
        "do",
        "go",
        "come",
        "keep",
        "let",
        "call",
        "resemble",
        "seem",
        "consist",
        "base",
        "design",
    ]
)
# What may follow a verb in a caption.
FOLLOWERS = frozenset({"prt", "dobj", "prep", "advmod", "acomp", "agent"})
# Prepositions of time and purpose: "for twenty seconds", "like in a film".
ASIDE = frozenset(
    {"for", "like", "as", "by", "than", "with", "without", "during", "per", "via", "at", "including"}
)


def sentences(doc: Doc) -> Iterator[str]:
    """Sentences from the parse of a text, the best first. They are not judged yet."""
    yield from _finite(doc)
    yield from _participles(doc)
    yield from _gerunds(doc)


def _finite(doc: Doc) -> Iterator[str]:
    """The text is a sentence: "A large dog growls a few times" gives "a large dog is growling"."""
    for verb in doc:
        if verb.dep_ != "ROOT" or verb.pos_ != "VERB" or verb.lemma_ in SILENT:
            continue
        subject = next((child for child in verb.children if child.dep_ in ("nsubj", "nsubjpass")), None)
        if subject is None or not _can_sound(subject):
            continue
        passive = subject.dep_ == "nsubjpass"
        if verb.tag_ == "VBN" and not passive:
            continue
        predicate = f"being {verb.lower_}" if passive else gerund(verb.lemma_.lower())
        yield clause(_noun_phrase(subject), _predicate(verb, predicate))


def _participles(doc: Doc) -> Iterator[str]:
    """ "A dog barking" gives "a dog is barking"; "a gun being fired" gives "a gun is being fired"."""
    for verb in doc:
        subject = next((child for child in verb.children if child.dep_ in ("nsubj", "nsubjpass")), None)
        if verb.dep_ == "acl" and subject is None:
            subject = verb.head
        if subject is None or subject.i > verb.i or not _can_sound(subject) or verb.lemma_ in SILENT:
            continue
        helpers = {child.lower_ for child in verb.children if child.dep_ in ("aux", "auxpass")}
        if verb.tag_ == "VBG":
            yield clause(_noun_phrase(subject), _predicate(verb, verb.lower_))
        elif verb.tag_ == "VBN" and "being" in helpers:
            yield clause(_noun_phrase(subject), _predicate(verb, f"being {verb.lower_}"))


def _gerunds(doc: Doc) -> Iterator[str]:
    """ "Loading a shotgun" gives "someone is loading a shotgun"."""
    for verb in doc:
        if verb.tag_ != "VBG" or verb.lemma_ in SILENT or verb.dep_ not in ("ROOT", "pcomp", "advcl"):
            continue
        held = next((child for child in verb.children if child.dep_ == "dobj"), None)
        if (
            held is not None
            and _can_sound(held)
            and not any(child.dep_ == "nsubj" for child in verb.children)
        ):
            yield clause("someone", _predicate(verb, verb.lower_))


def _can_sound(noun: Token) -> bool:
    """Whether a noun is something that can sound: not the author, not a name, not the clip itself."""
    known = lists()
    return (
        noun.pos_ in ("NOUN", "PROPN", "PRON")
        and noun.lower_ not in known["personal"] | known["about_clips"]
        and noun.lemma_.lower() not in known["about_clips"]
        and not _is_name(noun)
    )


def _is_name(token: Token) -> bool:
    """Whether the parser finds a name in a capitalized proper noun."""
    return token.ent_type_ in ENTITIES and token.text[0].isupper() and token.pos_ == "PROPN"


def _noun_phrase(noun: Token) -> str:
    """A noun with the words before it: "my great old dog" gives "an old dog"."""
    if noun.pos_ == "PRON":
        return noun.lower_
    known = lists()
    words = [
        child.lower_
        for child in noun.lefts
        if child.dep_ in ("amod", "compound")
        and child.lower_ not in known["praise"] | known["about_clips"]
        and child.is_alpha
        and not _is_name(child)
    ]
    name = " ".join([*words, noun.lower_])
    name = lexicon().people.get(name, name)
    if noun.tag_ in ("NNS", "NNPS") or name.startswith(("a ", "an ")):
        return name
    return with_article(name)


def _predicate(verb: Token, form: str) -> str:
    """The verb in this form with its complements, as far as they are about the sound."""
    words = form.split()
    for child in verb.rights:
        if child.dep_ not in FOLLOWERS or (child.dep_ == "prep" and child.lower_ in ASIDE):
            if child.dep_ == "cc" or (child.dep_ == "conj" and child.tag_ == "VBG"):
                continue
            break
        phrase = _phrase(child)
        if not phrase or len(words) + len(phrase) > MAX_PREDICATE_WORDS:
            break
        words += phrase
    others = [
        child
        for child in verb.rights
        if child.dep_ == "conj" and child.tag_ == "VBG" and child.lemma_ not in SILENT
    ]
    if others and form == verb.lower_ and len(words) == 1:
        words += ["and", others[0].lower_]
    return " ".join(words)


def _phrase(head: Token) -> list[str]:
    """The words under a token; empty if one of them is a name, a number or about the author."""
    known = lists()
    tokens = [token for token in head.subtree if not _within_clause(token, head)]
    words = []
    for token in tokens:
        if token.is_punct or token.is_digit or token.lower_ in known["praise"]:
            continue
        if _is_name(token) or token.like_num or not re.fullmatch(r"[a-z'’-]+", token.lower_):
            return []
        if token.lower_ in known["personal"] | known["about_clips"] or token.dep_ == "poss":
            return []
        words.append(token.lower_)
    return words


def _within_clause(token: Token, head: Token) -> bool:
    """Whether a token is in a clause, or in a conjunct, below the head."""
    while token.i != head.i:
        if token.dep_ in ("relcl", "acl", "advcl", "conj", "cc", "appos", "ccomp"):
            return True
        token = token.head
    return False
