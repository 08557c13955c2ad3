"""Words of a caption as the COCO tools count them: Penn Treebank tokens, lower case, no punctuation."""

from __future__ import annotations

import re

PLAIN = str.maketrans({"’": "'", "\u2018": "'", "“": '"', "”": '"', "–": " -- ", "—": " -- "})
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
# Tokens that the COCO tools remove. Brackets are not removed: the list has their names in upper case.
LEFT_OUT = frozenset(["''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"])
TOKEN = re.compile(
    r"""
    <[a-z]+>                                    # a tag
    | (?:[a-z]\.){2,} | (?:co|mr|mrs|dr|st|vs|etc)\.(?!\w)
    | \d+(?:[.,:]\d+)*
    | [^\W_]+(?:[-/'&.][^\W_]+)*                # tin-roof, foo/bar, o'clock, don't
    | '(?:s|m|d|ll|re|ve)\b                     # a separate clitic
    | \.\.\. | --+ | \S
    """,
    re.VERBOSE,
)
CLITIC = re.compile(r"^(.+?)(n't|'(?:s|m|d|ll|re|ve))$")
SPLIT = {"cannot": ["can", "not"], "gonna": ["gon", "na"], "gotta": ["got", "ta"], "wanna": ["wan", "na"]}


def tokens(text: str) -> list[str]:
    """The tokens of a text.

    For the words of captions they equal those of the COCO tools (Stanford's tokenizer, in Java). Rare cases,
    such as unusual abbreviations, can differ.
    """
    found = []
    for token in TOKEN.findall(text.lower().translate(PLAIN)):
        clitic = CLITIC.match(token)
        if clitic and clitic[1] != "o":
            found += [clitic[1], clitic[2]]
        else:
            found += SPLIT.get(token, [BRACKETS.get(token, token)])
    return [token for token in found if token not in LEFT_OUT]
