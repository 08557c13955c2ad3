from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from wavcaps_assets.postprocessing.language import foreign_language
from wavcaps_assets.postprocessing.repairs import repaired
from wavcaps_assets.postprocessing.rule_settings import RuleSettings
from wavcaps_assets.postprocessing.rules import RULE_PRESETS, RULES, Candidate, Verdict, judge

RELEASED = Path(__file__).parents[2].parent / "shared" / "data" / "wavcaps" / "sb_final.json"

# Table II of the paper, and sentences of the same kind.
GOOD = [
    "A book is falling down a staircase.",
    "Someone is using a rip saw in a carpenter's workshop.",
    "A car is passing with its horn.",
    "An animal is growling, screaming, and hissing.",
    "Bells are ringing.",
    "A race car is accelerating and revving.",
    "A woman is speaking while something whooshes.",
    "A dog barks.",
    "A kettle whistles.",
    "A steam train departs from a station.",
    "Thunder rolls in the distance.",
    "Glass is breaking.",
    "Frogs are croaking at night.",
    "Someone turns on the TV and a DJ speaks.",
    "There is silence in a room.",
]

FAULTY = [
    ("Failure.", "failure"),
    ("Barking.", "too_short"),
    ("A dog is barking and " + "a dog is barking and " * 4 + "a cat is meowing.", "too_long"),
    ("A dog is barking. A cat is meowing.", "several_sentences"),
    ("A dog can be heard.", "banned_words"),
    ("Rain is recorded on a roof.", "banned_words"),
    ("A sound effect of a laser is playing.", "meta_words"),
    ("The audio has a high probability of rain.", "meta_words"),
    ("Three dogs bark 12 times.", "digits"),
    ("A tone of a few kHz is playing.", "digits"),
    ("A dog is barking [1].", "markup"),
    ("A train horn is blowing at www.example.com.", "markup"),
    ("Ein Hund bellt im Garten neben dem Haus.", "foreign_language"),
    ("A дог is barking.", "foreign_language"),
    ("A tram is passing in Lyon.", "named_entity"),
    ("Paris traffic is roaring.", "named_entity"),
    ("A Zoom microphone is picking up rain.", "named_entity"),
    ("A big crash.", "no_verb"),
    ("Light rain and crickets at sunset.", "no_verb"),
    ("Various engine noises.", "no_verb"),
    ("An electronic device whirring.", "no_verb"),
    ("An electronic device that creates a ripple.", "no_verb"),
]

FAULTY_FOR_SMALL_MODELS = [
    ("A gong is a musical instrument.", "Gong", "definition"),
    ("An owl is sleeping.", "Owl, animal sound", "silent_verb"),
    ("A woman is wearing a dress.", "Afro string", "ungrounded"),
    ("A factory is building a factory.", "Toy factory", "repeats"),
    ("A sneeze is sneezing.", "Sneeze", "repeats"),
]


def rules_of(caption: str, text: str = "", settings: RuleSettings = RULE_PRESETS["paper"]) -> list[str]:
    (judged,) = judge([Candidate(caption, text)], settings)
    return [finding.rule for finding in judged.findings]


@pytest.mark.parametrize("caption", GOOD)
def test_sentences_about_sounds_are_accepted(caption: str) -> None:
    (judged,) = judge([Candidate(caption, "")], RULE_PRESETS["paper"])
    assert (judged.verdict, judged.complaint) == (Verdict.ACCEPT, "")


@pytest.mark.parametrize(("caption", "rule"), FAULTY)
def test_each_fault_is_named(caption: str, rule: str) -> None:
    assert rule in rules_of(caption)
    others = tuple(name for name in RULE_PRESETS["paper"].enabled if name != rule)
    assert rule not in rules_of(caption, settings=RuleSettings(enabled=others))


@pytest.mark.parametrize(("caption", "text", "rule"), FAULTY_FOR_SMALL_MODELS)
def test_small_models_are_held_to_more(caption: str, text: str, rule: str) -> None:
    assert rule in rules_of(caption, text, RULE_PRESETS["small"])
    assert rules_of(caption, text) == []


def test_every_rule_has_a_case_here() -> None:
    cases = {rule for _, rule in FAULTY} | {rule for *_, rule in FAULTY_FOR_SMALL_MODELS} | {"echo"}
    assert cases == set(RULES) == set(RULE_PRESETS["small"].enabled)


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("A train is departing.", "Steam train station departure"),
        ("Someone is laughing.", "Laugh, male, human sound."),
        ("Dogs are barking.", "dog bark in the yard"),
    ],
)
def test_a_shared_word_in_any_form_grounds_a_caption(caption: str, text: str) -> None:
    assert rules_of(caption, text, RULE_PRESETS["small"]) == []


def test_words_of_the_prompt_are_an_echo_unless_the_text_has_them() -> None:
    prompt = ("Write one short plain sentence.", "A kettle whistles on a stove.")
    caption = "A kettle whistles on a stove."
    (leaked, earned) = judge(
        [Candidate(caption, "Sheep", prompt), Candidate(caption, "A kettle whistles on a stove", prompt)],
        RULE_PRESETS["paper"],
    )
    assert [finding.rule for finding in leaked.findings] == ["echo"]
    assert earned.findings == []


@pytest.mark.parametrize(
    ("caption", "mended", "repairs"),
    [
        ("a dog is barking", "A dog is barking.", ["capital", "full_stop"]),
        ("A  dog\tis barking .", "A dog is barking.", ["whitespace", "full_stop"]),
        ('"A dog is barking."', "A dog is barking.", ["quotation_marks"]),
        ("A dog is barking!", "A dog is barking.", ["full_stop"]),
        ("A owl is hooting.", "An owl is hooting.", ["article"]),
        ("a explosion is rumbling.", "An explosion is rumbling.", ["article", "capital"]),
        ("A unicorn is neighing.", "A unicorn is neighing.", []),
        ("A water is running.", "Water is running.", ["mass_noun", "capital"]),
        ("A water drop is falling.", "A water drop is falling.", []),
        ("A dog's tail is thumping.", "A dog's tail is thumping.", []),
        ("", "", []),
    ],
)
def test_repairs(caption: str, mended: str, repairs: list[str]) -> None:
    assert repaired(caption) == (mended, repairs)
    assert repaired(mended) == (mended, [])


@pytest.mark.parametrize("caption", ["", ".", "42", "\u202e\u0000", "🐶🐶🐶", "<b>dog</b>", "x" * 20_000])
def test_hostile_captions_end_in_a_verdict(caption: str) -> None:
    (judged,) = judge([Candidate(caption, "dog")], RULE_PRESETS["small"])
    assert judged.verdict is Verdict.ASK_AGAIN


def test_a_rule_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no rule my_rule"):
        judge([], RuleSettings(enabled=("my_rule",)))


@pytest.mark.parametrize(
    "name", ["Whoop", "Cough male", "Dijjeridoo", "Doy doy doy", "Oooo badada", "Zoop", "RRCrossing"]
)
def test_names_of_sounds_are_not_called_foreign(name: str) -> None:
    assert foreign_language(name) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Ein leiser Ton, der langsam lauter wird und dann wieder verklingt.", "de"),
        ("Grabación de campo en el mercado de la ciudad", "es"),
        ("Bruit de pas dans la neige", "fr"),
        ("Дождь", "another script"),
        ("雨の音", "another script"),
    ],
)
def test_other_languages_are_told(text: str, language: str) -> None:
    assert foreign_language(text) == language


@pytest.mark.skipif(
    not RELEASED.is_file(), reason="needs the released SoundBible captions beside the checkout"
)
def test_most_released_captions_are_accepted_and_the_known_leftovers_found() -> None:
    rows = json.loads(RELEASED.read_text(encoding="utf-8"))["data"]
    judged = judge(
        [Candidate(row["caption"], row["description"] or "") for row in rows], RULE_PRESETS["paper"]
    )
    found = Counter(finding.rule for one in judged for finding in one.findings)
    assert sum(one.accepted for one in judged) > 0.85 * len(rows)
    having_heard = sum(
        "heard" in row["caption"].lower().split() or " heard" in row["caption"] for row in rows
    )
    assert found["banned_words"] >= having_heard > 0
    flagged = {row["caption"] for row, one in zip(rows, judged, strict=True) if one.findings}
    assert {"A Tasmanian Devil is growling and screaming.", "An Alder Flycatcher bird is singing."} <= flagged
    # Properties of the released file: full stops throughout, no digits, 3 to 21 words.
    assert found["digits"] == found["too_short"] == 0
