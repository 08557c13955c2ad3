"""Rules on whether an answer is a caption at all: one sentence of a usual length."""

from __future__ import annotations

import re

from wavcaps_assets.rules.reading import Reading
from wavcaps_assets.rules.refusals import is_failure, is_refusal
from wavcaps_assets.rules.rule import Rule, Verdict

# A full stop after one of these, or after a single letter ("T. rex"), does not end a sentence.
ABBREVIATED = re.compile(r"\b(?:vs|etc|approx|mr|mrs|ms|dr|st|no|[a-z])\.$", re.IGNORECASE)
# In "barking.A car" a space is missing.
SENTENCE_END = re.compile(r"[.!?…](?:['\"”)]?(?=\s+\S)|(?<=[a-z][a-z].)(?=[A-Z]))|\u3002(?=\s*\S)")
# Words that end no sentence. "In", "on" and "to" end many: "a woman who is being talked to".
NEVER_LAST = frozenset(
    {
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "as",
        "at",
        "because",
        "during",
        "for",
        "from",
        "if",
        "into",
        "its",
        "my",
    }
    | {"of", "onto", "than", "their", "which", "while", "whose", "with", "your"}
)


def failure(reading: Reading) -> str | None:
    """The model says that the text is not about a sound, or that it will not answer."""
    return reading.caption if is_failure(reading.caption) or is_refusal(reading.caption) else None


def too_short(reading: Reading) -> str | None:
    count = len(reading.words)
    return f"{count} words" if count < reading.settings.min_words else None


def too_long(reading: Reading) -> str | None:
    count = len(reading.words)
    return f"{count} words" if count > reading.settings.max_words else None


def several_sentences(reading: Reading) -> str | None:
    if reading.plain:
        return None
    ends = SENTENCE_END.finditer(reading.caption)
    found = any(not ABBREVIATED.search(reading.caption, 0, end.start() + 1) for end in ends)
    return "full stop inside" if found else None


def unfinished(reading: Reading) -> str | None:
    """ "A dog is barking and." """
    words = reading.words
    if len(words) < 3:
        return None
    last = words[-1]
    if last == "then":
        return "and then" if words[-2] == "and" and words[-3] != "now" else None
    # "For a while" is an end, and so is "in A".
    ends = last == "while" and words[-2] in ("a", "little", "the")
    ends = ends or (last == "a" and reading.caption.rstrip(" .").endswith("A"))
    # "A drum to play with" is an end too.
    ends = ends or (last == "with" and words[-3] == "to")
    return last if last in NEVER_LAST and not ends else None


def capitals(reading: Reading) -> str | None:
    return "capitals" if len(reading.words) > 2 and reading.caption.isupper() else None


RULES = (
    Rule(
        "failure",
        failure,
        "It says that there is no sound.",
        presets=("paper", "small", "strict", "answers"),
        verdict=Verdict.DROP,
    ),
    Rule("too_short", too_short, "It is too short: {detail}.", presets=("paper", "small", "strict")),
    Rule("too_long", too_long, "It is too long: {detail}.", presets=("paper", "small", "strict")),
    Rule(
        "several_sentences",
        several_sentences,
        "It has more than one sentence.",
        presets=("paper", "small", "strict"),
    ),
    Rule(
        "unfinished",
        unfinished,
        "It ends with “{detail}”, in the middle of a sentence.",
        presets=("paper", "small", "strict"),
    ),
    Rule("capitals", capitals, "It is written in {detail}.", presets=("paper", "small", "strict")),
)
