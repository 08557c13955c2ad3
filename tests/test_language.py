"""Plain English: a short list of phrases that many readers stumble over does not return."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

# What to write instead.
PHRASES = {
    r"be it": "whether, or",
    r"to be had": "available",
    r"(?:are|is) not to be": "must not be",
    r"of one'?s own": "your own",
    r"for ever": "without end",
    r"what is worth knowing": "what matters",
    r"(?:sets|set) aside": "drops, dropped",
    r"anew": "again",
    r"whoever": "the person, the process",
    r"as it comes": "with its defaults",
    r"(?:stands|stand) beside": "is next to",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"told": "given, shown, said",
    r"so many": "this many, a number of",
    r"the asking": "the request",
    r"comes to nothing": "fails",
    r"the same of": "the same for",
}
PATTERN = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)
SUFFIXES = {".py", ".md", ".toml", ".html"}
SELF = ROOT / "tests" / "test_language.py"
FOLDERS = ("wavcaps_assets", "wavcaps_training", "tests", "docs", "examples", "benchmarks")
# What a model is sent, which must not change.
SENT_TO_MODELS = ROOT / "wavcaps_assets" / "captioning" / "prompts"
# How models refuse, in their words.
REFUSALS = {ROOT / "wavcaps_assets" / "rules" / "refusals.py", ROOT / "tests" / "rules" / "test_refusals.py"}


def test_phrases_to_avoid() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    files += [*ROOT.glob("*.md"), ROOT / "pyproject.toml"]
    assert len(files) > 200
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()!r}"
        for path in files
        if SENT_TO_MODELS not in path.parents and path != SELF and path not in REFUSALS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in PATTERN.finditer(line)
    ]
    assert found == []


def test_the_phrases_are_found() -> None:
    assert PATTERN.search("Sets of one's own, be it here or there")
    assert not PATTERN.search("It can be iterated; the offset asides")
