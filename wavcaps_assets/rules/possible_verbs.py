"""Whether a word that spaCy's tagger takes for a noun is the finite verb: "Machinery | hums loudly." """

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from wavcaps_assets.rules.reading import parser, verbs
from wavcaps_assets.rules.repairs import MASS_NOUNS
from wavcaps_assets.rules.word_lists import WORDS

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

VERBS_OF_SOUND = frozenset(WORDS["verbs_of_sound"])
# Verbs without an object. Their past form is no passive: "The motorcycle revved again."
INTRANSITIVE = VERBS_OF_SOUND | {*WORDS["intransitive_verbs"]}
# Past forms that are no participle.
PAST_ONLY = frozenset(WORDS["past_only"])
FINITE = frozenset({"VBZ", "VBP", "VBD", "MD"})
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
# "A car passed by the house."
GOES_BY = frozenset({"pass", "rush", "speed", "zoom"})
SUBJECT_TAGS = frozenset(
    {"NN", "NNS", "NNP", "NNPS", "DT", "JJ", "CD", "IN", "CC", ",", "VBG", "PRP$", "HYPH"}
)
# Verbs of sounds that WordNet does not have.
MORE_VERBS = frozenset(
    {"rev", "baa", "moo", "ding", "whoosh", "vroom", "neigh", "oink", "ribbit", "caw", "whir"}
)
# How sure the tagger must be of a finite verb that it does not choose, by the tag that it chooses.
SECOND_CHOICE = {"NNS": 0.03, "NNPS": 0.03, "NN": 0.03, "VBN": 0.2}
# The same where no noun is before it: "Seagulls, crows and others, fly around."
LIKELY = {"VB": 0.3, "NNS": 0.4}
# Nouns without an article in captions, besides those that are never repaired to have none.
UNCOUNTED = MASS_NOUNS | {*WORDS["uncounted"]}
# After one of these a clause goes on or another one begins, so that a verb is before it.
AFTER_A_VERB = frozenset({"as", "while", "whilst", "when", "until", "before", "after", "because", "since"})
# "Sounds of a train whistle": what is of them is no subject.
SOUND_NOUNS = frozenset(
    {"sound", "sounds", "noise", "noises", "series", "effects", "bursts", "types", "kinds"}
)
ADVERBS = frozenset({"RB", "RBR", "RP"})


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


def is_finite(tokens: Sequence[Token], place: int, owed: bool = False) -> bool:
    """Whether a word is a finite verb, or may well be one where its tagger's choice leaves no verb.

    Args:
        tokens: of a caption, without spaces.
        owed: a clause such as "When it rains," is before it, after which a caption has a verb.
    """
    token = tokens[place]
    if token.tag_ in FINITE:
        return True
    if token.tag_ == "VBN" and token.lower_ not in _verbs():
        return _is_past(tokens, place)
    if not _may_be_verb(token):
        return False
    if _agrees(tokens, place) or _acts(tokens, place, owed):
        return True
    likely = _finite_probabilities(token.doc)[token.i]
    if likely >= LIKELY.get(token.tag_, 1.0):
        return True
    return _follows_a_noun(tokens, place) and likely >= SECOND_CHOICE.get(token.tag_, 0.1)


def _may_be_verb(token: Token) -> bool:
    if token.tag_ == "VBG":
        # "Insects buzz"
        return token.lower_ in _verbs() and not token.lower_.endswith("ing")
    if token.tag_ in ("NNS", "NNPS", "NNP", "VB"):
        return _base(token.lower_) is not None or token.lower_ in _verbs()
    if token.tag_ == "NN" and _base(token.lower_) is not None:
        return True
    return token.tag_ in ("NN", "VB", "JJ", "VBN", "UH") and token.lower_ in _verbs()


def _agrees(tokens: Sequence[Token], place: int) -> bool:
    """Whether the words before can only be the subject: "a kettle | whistles", "dogs | bark"."""
    token = tokens[place]
    before = _before(tokens, place)
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
        named = before > 0 and subject.lower_.endswith("ing") and _base(token.lower_) in INTRANSITIVE
        return subject.lower_ in UNCOUNTED or named
    if subject.tag_ not in ("NN", "NNP", "VBG", "JJ"):
        return False
    return _one_thing(tokens, before) or (
        _base(token.lower_) in VERBS_OF_SOUND and _the_thing(tokens, before)
    )


def _acts(tokens: Sequence[Token], place: int, owed: bool) -> bool:
    """Whether the words around a possible verb are those of a verb: "water drips | quietly as ..."."""
    before = _before(tokens, place)
    if before < 0 or tokens[before].tag_ not in ("NN", "NNS", "NNP", "JJ"):
        return False
    token, subject = tokens[place], tokens[before]
    singular = _base(token.lower_)
    if singular is None:
        several = token.lower_ in INTRANSITIVE and _several(tokens, before, owed)
        return several and _verb_ends(tokens, place)
    if token.lower_ in COMMON_PLURALS or subject.tag_ == "NNS" or (subject.tag_ == "JJ" and before > 0):
        return False
    if owed or _verb_goes_on(tokens, place):
        return True
    start = before > 0 and tokens[before - 1].lower_ in ("the", "a", "an", "then")
    return singular in INTRANSITIVE and _verb_ends(tokens, place) and (start or _part_of_one(tokens, before))


def _before(tokens: Sequence[Token], place: int) -> int:
    """The place of the word before, without adverbs; -1: there is none."""
    before = place - 1
    while before >= 0 and tokens[before].tag_ in ("RB", "RBR"):
        before -= 1
    return before


def _part_of_one(tokens: Sequence[Token], last: int) -> bool:
    """Whether "the flow of water" is before a verb, but not "the sound of water"."""
    of = last - 1
    while of > 0 and tokens[of].tag_ in ("JJ", "NN"):
        of -= 1
    head = tokens[of - 1]
    singular = head.tag_ in ("NN", "VBG") and head.lower_ not in SOUND_NOUNS | COUNTS
    return of > 1 and tokens[of].lower_ == "of" and singular


def _is_past(tokens: Sequence[Token], place: int) -> bool:
    """Whether a participle is rather the past form of a verb without an object."""
    before = _before(tokens, place)
    if before < 0 or tokens[before].tag_ not in ("NN", "NNS", "NNP", "PRP", "VBG"):
        return False
    if tokens[before].lower_ in ("being", "getting", "having"):
        return False
    word = tokens[place].lower_
    if word in PAST_ONLY:
        return True
    stems = {word[:-1], word[:-2], word[:-3]}
    following = [one.tag_ for one in tokens[place + 1 : place + 3]]
    if following and tokens[place + 1].lower_ == "by" and following[1:] not in (["."], ["IN"], ["JJ"]):
        # Not "followed by a noise".
        stems &= GOES_BY
    return not stems.isdisjoint(INTRANSITIVE)


def _verb_goes_on(tokens: Sequence[Token], place: int) -> bool:
    """Whether an adverb, a clause or another verb follows: "hums loudly", "hums as", "hums and buzzes"."""
    following = tokens[place + 1 : place + 3]
    if not following:
        return False
    if following[0].lower_ in AFTER_A_VERB:
        return True
    if following[0].tag_ in ADVERBS:
        return following[0].lower_ != "then"
    return (
        following[0].lower_ == "and"
        and len(following) > 1
        and (_base(following[1].lower_) is not None and following[1].lower_ not in COMMON_PLURALS)
    )


def _verb_ends(tokens: Sequence[Token], place: int) -> bool:
    """Whether no noun follows that the word could belong to."""
    following = tokens[place + 1] if place + 1 < len(tokens) else None
    return following is None or following.tag_ in ("IN", "CC", "TO", ".", ",") or following.tag_ in ADVERBS


def _several(tokens: Sequence[Token], last: int, owed: bool) -> bool:
    """Whether the words up to a noun are several things: "hinges of a door", "a bell and a siren"."""
    start = last
    while (
        start > 0 and tokens[start - 1].tag_ in SUBJECT_TAGS and not (owed and tokens[start - 1].text == ",")
    ):
        start -= 1
    words = tokens[start : last + 1]
    nouns = [one for one in words if one.tag_ in ("NN", "NNS", "NNP", "NNPS")]
    if not nouns or nouns[0].lower_ in SOUND_NOUNS:
        return False
    if any(one.tag_ == "VBG" and earlier in nouns for earlier, one in pairwise(words)):
        # "Birds chirping and a dog bark".
        return False
    if nouns[0].tag_ == "NNS" or nouns[0].lower_ in PLURALS:
        return any(one.tag_ in ("IN", "CC") for one in words)
    joined = next((at for at, one in enumerate(words) if one.lower_ == "and"), len(words))
    in_phrase = any(one.tag_ == "IN" for one in words[:joined])
    return joined < len(words) - 1 and any(one in nouns for one in words[:joined]) and not in_phrase


def _one_thing(tokens: Sequence[Token], last: int) -> bool:
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


def _stands_alone(tokens: Sequence[Token], last: int) -> bool:
    """Whether only adjectives and adverbs are before a noun, back to the start."""
    return all(one.tag_ in ("JJ", "RB") for one in tokens[:last])


def _the_thing(tokens: Sequence[Token], last: int) -> bool:
    """Whether the caption begins with "the" and this one noun: "The power generator | hums"."""
    start = next((at for at in range(last, -1, -1) if tokens[at].tag_ in ("DT", ",")), 0)
    return tokens[start].lower_ in ("the", "this", "that") and all(
        one.tag_ in ("NN", "NNP", "JJ", "VBG", "RB") or one.lower_ == "and"
        for one in tokens[start + 1 : last]
    )


def _follows_a_noun(tokens: Sequence[Token], place: int) -> bool:
    before = _before(tokens, place)
    return (
        before >= 0
        and tokens[before].tag_ in ("NN", "NNS", "PRP")
        and tokens[place].lower_ not in COMMON_PLURALS
    )


@lru_cache(maxsize=1)
def _finite_probabilities(doc: Doc) -> list[float]:
    """How likely each token is a finite verb, by the tagger."""
    tagger: Any = parser().get_pipe("tagger")
    (scores,) = tagger.model.predict([doc])
    columns = [tagger.labels.index(tag) for tag in FINITE]
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely: list[float] = (chances[:, columns].sum(axis=1) / chances.sum(axis=1)).tolist()
    return likely
