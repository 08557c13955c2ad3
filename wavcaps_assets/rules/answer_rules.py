"""Rules on what a model writes around its caption (labels, greetings), and on words twice in a row."""

from __future__ import annotations

import re
from operator import ne

from wavcaps_assets.rules.reading import Reading
from wavcaps_assets.rules.rule import Rule

SIGNS = frozenset(":=-–—>")
# "Output:", "Revised sentence:"; a colon after more words is in a sentence of its own.
LABEL = re.compile(r"(?:[^\W_]+[ -]){0,3}[^\W_]+ ?[:=](?=\s|[^\W_])")
LABEL_WITH_DASH = re.compile(
    r"(?:[^\W_]+ )?(?:caption|sentence|answer|output|response|result|summary) ?[-–—>]", re.IGNORECASE
)
GREETING_WORDS = frozenset(
    {
        "sure",
        "okay",
        "ok",
        "of",
        "certainly",
        "absolutely",
        "all",
        "alright",
        "no",
        "got",
        "understood",
        "yes",
    }
    | {"hello", "hi", "great", "thanks", "thank", "here", "as"}
)
GREETING = re.compile(
    r"(?:sure|okay|ok|of course|certainly|absolutely|all ?right|no problem|got it|understood|yes|hello|hi"
    r"|great|thanks|thank you|here you go|as requested)(?: \w+)? ?[,!.;:–—-]",
    re.IGNORECASE,
)
# "a) A dog", but not "T. rex".
LETTER = re.compile(r"[A-Za-z][.)] (?=[A-Z])")
CLOSING = re.compile(
    r"\b(?:let me know|i hope|hope (?:this|that) helps|feel free|would you like|is there anything)\b",
    re.IGNORECASE,
)
CLOSING_WORDS = frozenset({"know", "hope", "free", "would", "anything"})
# Words that follow themselves by a slip only, unlike "very very" and "that that".
SLIPS = "a|an|the|and|are|at|by|for|in|is|of|on|or|then|to|was|were|while|with"
# Words are matched whole (`++`): a part of one is followed by no space.
TWICE = re.compile(
    rf"\b(?:(?P<word>{SLIPS}|\w++(?<=\wing)) (?P=word)\b|(?P<phrase>\w++(?: \w++){{2,7}}) (?P=phrase)\b)",
    re.IGNORECASE,
)


def introduction(reading: Reading) -> str | None:
    """A label or a greeting before the sentence, or a closing after it."""
    caption, words = reading.caption, reading.words
    found = None
    # Most captions have none of the signs and words that the patterns need.
    if not SIGNS.isdisjoint(caption):
        found = LABEL.match(caption) or LABEL_WITH_DASH.match(caption)
    if caption[1:2] in (".", ")"):
        found = LETTER.match(caption)
    if found is None and words and words[0] in GREETING_WORDS:
        found = GREETING.match(caption)
    if found is None and not CLOSING_WORDS.isdisjoint(words):
        found = CLOSING.search(caption)
    return found[0].strip() if found else None


def said_twice(reading: Reading) -> str | None:
    """ "A dog is is barking", or a whole phrase twice."""
    words = reading.words
    again = len(words) - len({*words})
    # Without a word beside itself, or three words that come back, the slow pattern finds nothing.
    if again == 0 or (again < 3 and all(map(ne, words, words[1:]))):
        return None
    found = TWICE.search(reading.caption)
    return found[0] if found else None


RULES = (
    Rule(
        "introduction",
        introduction,
        "It is more than the sentence: “{detail}”.",
        presets=("paper", "small", "strict"),
    ),
    Rule(
        "said_twice",
        said_twice,
        "It says words twice in a row: “{detail}”.",
        presets=("paper", "small", "strict"),
    ),
)
