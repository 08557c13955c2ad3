"""Whether a caption has a main clause: a finite verb that is not in a subordinate clause.

spaCy's small model takes many verbs of sounds for nouns ("Dogs bark.", "A kettle whistles."), and its tree
is then wrong as a whole. So the caption is read word by word instead: each subordinator ("while", "that")
takes the next finite verb, and what is left over is the verb of the main clause.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from wavcaps_assets.rules.reading import parser, verbs
from wavcaps_assets.rules.repairs import MASS_NOUNS
from wavcaps_assets.rules.word_lists import WORDS

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

VERBS_OF_SOUND = frozenset(WORDS["verbs_of_sound"])
FINITE = frozenset({"VBZ", "VBP", "VBD", "MD"})
SUBORDINATORS = frozenset(
    {
        "as",
        "while",
        "whilst",
        "when",
        "whenever",
        "that",
        "which",
        "who",
        "whose",
        "where",
        "because",
        "until",
    }
    | {"before", "after", "since", "if", "although", "though", "whereas", "what", "how", "once"}
)
# Before one of these the verb goes on with the clause of the verb before: "that stops and starts again".
CONJUNCTIONS = frozenset({"and", "or", "but", "then", ","})
SINGULAR_DETERMINERS = frozenset({"a", "an", "another", "one", "each", "every"})
SINGULAR_PRONOUNS = frozenset({"someone", "something", "somebody", "everyone", "it", "he", "she", "one"})
PLURALS = frozenset({"people", "children", "men", "women", "geese", "mice", "feet", "dice", "they"})
# "A few cars", "a hundred drums": the determiner does not belong to one thing.
COUNTS = frozenset({"few", "couple", "dozen", "hundred", "thousand", "lot", "number", "many"})
# Plurals that follow another noun even after "a": "a wind chimes".
PLURAL_ONLY = frozenset(
    {"noises", "effects", "droplets", "instruments", "stairs", "scissors", "headphones", "chimes"}
)
# More of them, where the words before are not "a" and a noun: "water drops", "the church bells".
COMMON_PLURALS = PLURAL_ONLY | frozenset(
    {
        "sounds",
        "drops",
        "waves",
        "loops",
        "calls",
        "strikes",
        "steps",
        "bells",
        "sirens",
        "horns",
        "pipes",
        "tracks",
    }
)
# Verbs of sounds that WordNet does not have.
MORE_VERBS = frozenset(
    {"rev", "baa", "moo", "ding", "whoosh", "vroom", "neigh", "oink", "ribbit", "caw", "whir"}
)
# How sure the tagger must be of a finite verb that it does not choose, by the tag that it chooses.
SECOND_CHOICE = {"NNS": 0.03, "NNPS": 0.03, "NN": 0.03, "VBN": 0.2}


def has_main_clause(doc: Doc) -> bool:
    """Whether a finite verb of a parsed caption is in no subordinate clause."""
    return main_verb(doc) is not None


def main_verb(doc: Doc) -> Token | None:
    """The first finite verb of a parsed caption that is in no subordinate clause."""
    tokens = [token for token in doc if not token.is_space]
    waiting = 0
    fronted = bool(tokens) and tokens[0].lower_ in SUBORDINATORS - {"that", "what"}
    seen = False
    likely: list[float] | None = None
    for place, token in enumerate(tokens):
        if fronted and token.text == ",":
            # "When it rains, ...": the main clause follows.
            fronted, waiting, seen = False, 0, False
        if _subordinates(tokens, place):
            waiting += 1
            continue
        if token.tag_ not in FINITE:
            if not _may_be_verb(token):
                continue
            if not _agrees(tokens, place):
                likely = likely or _finite_probabilities(doc)
                if not _follows_a_noun(tokens, place) or likely[token.i] < SECOND_CHOICE.get(token.tag_, 0.1):
                    continue
        if seen and _goes_on(tokens, place):
            continue
        seen = True
        if waiting == 0:
            return token
        waiting -= 1
    return None


def _subordinates(tokens: list[Token], place: int) -> bool:
    token = tokens[place]
    if token.lower_ not in SUBORDINATORS:
        return False
    if token.lower_ == "that":
        # "That dog is barking."
        return place > 0
    # "After a bang", "before noon", "as well as": prepositions take no verb.
    following = tokens[place + 1].lower_ if place + 1 < len(tokens) else ""
    return not (
        token.lower_ in ("as", "before", "after", "since")
        and following in ("well", "a", "an", "the")
        and token.dep_ == "prep"
        and token.head.pos_ != "VERB"
    )


def _goes_on(tokens: list[Token], place: int) -> bool:
    before = place - 1
    while before >= 0 and tokens[before].tag_ in ("RB", "RBR"):
        before -= 1
    return before >= 0 and tokens[before].lower_ in CONJUNCTIONS


@lru_cache(maxsize=1)
def _verbs() -> frozenset[str]:
    return verbs() | MORE_VERBS


@lru_cache(maxsize=50_000)
def _base(word: str) -> str | None:
    """The verb of which a word could be the form for he or it: "hisses" gives "hiss"; None: of none."""
    if not word.endswith("s") or word.endswith(("ss", "us", "is")) or word in PLURAL_ONLY:
        return None
    stems = [word[:-1], word[:-2], f"{word[:-3]}y"] if word.endswith("ies") else [word[:-1], word[:-2]]
    return next((stem for stem in stems if stem in _verbs()), None)


def _may_be_verb(token: Token) -> bool:
    if token.tag_ in ("NNS", "NNPS", "NNP"):
        return _base(token.lower_) is not None or token.lower_ in _verbs()
    if token.tag_ == "NN" and _base(token.lower_) is not None:
        return True
    return token.tag_ in ("NN", "VB", "JJ", "VBN", "UH") and token.lower_ in _verbs()


def _agrees(tokens: list[Token], place: int) -> bool:
    """Whether the words before can only be the subject: "a kettle | whistles", "dogs | bark"."""
    token = tokens[place]
    before = place - 1
    while before >= 0 and tokens[before].tag_ in ("RB", "RBR"):
        before -= 1
    if before < 0:
        return False
    subject = tokens[before]
    if _base(token.lower_) is None:
        plural = subject.lower_ in PLURALS or subject.tag_ in ("NNS", "NNPS")
        # The tagger takes a first word for a name: "Dogs bark."
        plural = plural or (before == 0 and subject.lower_.endswith("s") and subject.tag_ == "NNP")
        following = tokens[place + 1] if place + 1 < len(tokens) else None
        return plural and (following is None or following.tag_ not in ("NN", "NNS", "VBG"))
    if subject.lower_ in SINGULAR_PRONOUNS:
        return True
    if token.lower_ not in COMMON_PLURALS and _stands_alone(tokens, before):
        return subject.lower_ in MASS_NOUNS
    if subject.tag_ not in ("NN", "NNP", "VBG", "JJ"):
        return False
    return _one_thing(tokens, before) or (
        _base(token.lower_) in VERBS_OF_SOUND and _the_thing(tokens, before)
    )


def _one_thing(tokens: list[Token], last: int) -> bool:
    """Whether the nouns and adjectives up to a noun begin with "a"."""
    for place in range(last - 1, -1, -1):
        token = tokens[place]
        if token.lower_ in SINGULAR_DETERMINERS:
            return True
        if tokens[place + 1].tag_ == "VBG" and token.tag_ in ("NN", "NNP"):
            # "A person washing dishes".
            return False
        if token.lower_ in COUNTS or token.tag_ not in (
            "NN",
            "NNP",
            "JJ",
            "JJR",
            "VBG",
            "VBN",
            "RB",
            "HYPH",
            "CD",
            ",",
        ):
            return False
    return False


def _stands_alone(tokens: list[Token], last: int) -> bool:
    """Whether only adjectives and adverbs are before a noun, back to the start."""
    return all(one.tag_ in ("JJ", "RB") for one in tokens[:last])


def _the_thing(tokens: list[Token], last: int) -> bool:
    """Whether the caption begins with "the" and this one noun: "The power generator | hums"."""
    return tokens[0].lower_ in ("the", "this", "that") and all(
        one.tag_ in ("NN", "JJ") for one in tokens[1:last]
    )


def _follows_a_noun(tokens: list[Token], place: int) -> bool:
    before = place - 1
    while before >= 0 and tokens[before].tag_ in ("RB", "RBR"):
        before -= 1
    return (
        before >= 0
        and tokens[before].tag_ in ("NN", "NNS", "PRP")
        and tokens[place].lower_ not in COMMON_PLURALS
    )


def _finite_probabilities(doc: Doc) -> list[float]:
    """How likely each token is a finite verb, by the tagger."""
    tagger: Any = parser().get_pipe("tagger")
    (scores,) = tagger.model.predict([doc])
    columns = [tagger.labels.index(tag) for tag in FINITE]
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely: list[float] = (chances[:, columns].sum(axis=1) / chances.sum(axis=1)).tolist()
    return likely
