"""The number of syllables of an English word, by rule.

Against the CMU Pronouncing Dictionary the rules count 97 to 99% of the running words of Clotho's
captions and of the BBC's and SoundBible's descriptions right; Pyphen's hyphenation counts 90 to 94% right.
`tests/analysis/test_readability.py` checks this.
"""

from __future__ import annotations

import re
from functools import lru_cache

GROUP = re.compile(r"[aeiouy]+")
# Endings whose e is not spoken ("close", "engines", "opened"), and those where it is ("table", "noted").
SILENT = re.compile(r"(?<![aeiouy])(?:e|es|ed)$")
SPOKEN = re.compile(r"(?:[^aeiouyrl]le[sd]?|tres?|(?:[sxzcg]|ch|sh)es|[td]ed)$")
SILENT_INSIDE = re.compile(
    r"(?<=[aeiouy][^aeiouy])e(?=(?:ly|ment|ful|less|ness)s?$)"
    # Inside of compounds, such as "something", "household", "lifeboat".
    r"|(?<=^som)e(?=[a-z])"
    r"|(?<=^fir|^sid|^lif|^liv|^for|^typ|^tim|^hom|^wav|^tap|^mak|^nam|^cav)e(?=[bcfghklmptvw])"
    r"|(?<=^hous|^hors|^whit|^ston)e(?=[bcfghklmptvw])"
)
# Neighbouring vowels that are two syllables ("radio", "being", "medium", "quiet", "created", "actual").
APART = re.compile(
    r"(?<=[aeiouy])(?<![gq]u)ing"
    r"|(?<![tcsgx])i(?:[ao]|um|e(?:n[ct]|t(?!$)))"
    r"|qu(?=iet)|(?<![aeious])eo(?!us|ple|n$)|ism$|(?<![gq])ua|crea(?=t)|area"
)


@lru_cache(maxsize=100_000)
def syllables(word: str) -> int:
    """The number of syllables of a word in lower case; one for a word without a vowel, such as a number."""
    plain = word.removesuffix("'s").replace("'", "")
    count = 0
    for part in plain.split("-"):
        count += _of_part(part) if part else 0
    return max(count, 1)


def _of_part(part: str) -> int:
    count = len(GROUP.findall(part)) + len(APART.findall(part))
    if len(part) > 2 and SILENT.search(part) and not SPOKEN.search(part):
        count -= 1
    return max(count - len(SILENT_INSIDE.findall(part)), 1)
