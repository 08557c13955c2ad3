"""Whether a caption has a main clause: a finite verb that is not in a subordinate clause.

spaCy's small model takes many verbs of sounds for nouns ("Dogs bark.", "A kettle whistles."), and its tree
is then wrong as a whole. So the caption is read word by word instead: each subordinator ("while", "that")
takes the next finite verb, and what is left over is the verb of the main clause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wavcaps_assets.rules.possible_verbs import FINITE, SUBJECT_TAGS, is_finite

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

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
BEFORE_PARTICIPLES = frozenset({"after", "before", "since", "when", "while", "whilst"})


def has_main_clause(doc: Doc) -> bool:
    """Whether a finite verb of a parsed caption is in no subordinate clause."""
    return main_verb(doc) is not None


def main_verb(doc: Doc) -> Token | None:
    """The first finite verb of a parsed caption that is in no subordinate clause."""
    tokens = [token for token in doc if not token.is_space]
    waiting = 0
    fronted = bool(tokens) and tokens[0].lower_ in SUBORDINATORS - {"that", "what"}
    owed = aside = seen = False
    for place, token in enumerate(tokens):
        if token.text == ",":
            if fronted:
                # "When it rains, ...": the main clause follows.
                fronted, owed, waiting, seen = False, True, 0, False
            elif aside and waiting == 0:
                # "A man, who has a saw, cuts wood."
                aside = seen = False
        if _subordinates(tokens, place):
            waiting += 1
            aside = aside or tokens[place - 1].text == ","
            continue
        if not is_finite(tokens, place, owed) or (seen and _continues(tokens, place)):
            continue
        seen = True
        if waiting == 0:
            return token
        waiting -= 1
    return None


def _subordinates(tokens: Sequence[Token], place: int) -> bool:
    token = tokens[place]
    if token.lower_ not in SUBORDINATORS:
        return False
    if token.lower_ == "that":
        # "That dog is barking."
        return place > 0
    following = tokens[place + 1] if place + 1 < len(tokens) else None
    if following is None:
        return True
    if token.lower_ == "once" and place > 0 and tokens[place - 1].tag_ == "DT":
        # "The once loud ocean".
        return False
    if token.lower_ in BEFORE_PARTICIPLES and following.tag_ == "VBG":
        # "While sleeping someone snores."
        return False
    # "After a bang", "before noon", "after another", "as well as": prepositions take no verb.
    return not (
        token.lower_ in ("as", "before", "after", "since")
        and following.lower_ in ("well", "a", "an", "the", "another")
        and token.dep_ == "prep"
        and token.head.pos_ != "VERB"
    )


def _continues(tokens: Sequence[Token], place: int) -> bool:
    """Whether a verb is in the same clause as the verb before, or in one that is joined to it."""
    before = place - 1
    while before >= 0 and tokens[before].tag_ in ("RB", "RBR"):
        before -= 1
    if tokens[place].tag_ not in FINITE:
        # "As water drips and birds chirp": the tagger is more often wrong about the second verb.
        while (
            before >= 0 and tokens[before].tag_ in SUBJECT_TAGS and tokens[before].lower_ not in CONJUNCTIONS
        ):
            before -= 1
        return before >= 0 and tokens[before].lower_ in ("and", "or")
    return before >= 0 and tokens[before].lower_ in CONJUNCTIONS
