from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from tests.support.paths import DATA, ROOT
from wavcaps_assets.rules.judging import Candidate, judge
from wavcaps_assets.rules.language import foreign_language
from wavcaps_assets.rules.reading import parser
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleSettings
from wavcaps_assets.rules.table import RULES, RULES_WITHOUT_PARSER

RELEASED = DATA / "wavcaps" / "sb_final.json"

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
    "Dogs bark while birds chirp.",
    "Engines roar.",
    "A crowd cheers.",
    "The power generator hums.",
    "When the bell rings, several people are still talking.",
    "Wooden wind chimes are clinking.",
    "Water is dripping into a bucket.",
    "A person makes a morse code transmission.",
    "Audio feedback is squealing.",
    "A choir is singing in A.",
    "A bell is chiming for a while.",
]

FAULTY = [
    ("Failure.", "failure"),
    ("Barking.", "too_short"),
    ("42", "too_short"),
    ("42", "digits"),
    ("A dog is barking and " + "a dog is barking and " * 4 + "a cat is meowing.", "too_long"),
    ("A dog is barking. A cat is meowing.", "several_sentences"),
    ("A dog is barking.A car is passing.", "several_sentences"),
    ("A dog is barking and.", "unfinished"),
    ("A DOG IS BARKING LOUDLY.", "capitals"),
    ("Output: A dog is barking.", "introduction"),
    ("Sure, here you go: a dog is barking.", "introduction"),
    ("A dog is is barking.", "said_twice"),
    ("A beautiful and relaxing stream is flowing.", "opinion"),
    ("A dog is barking under a creative commons attribution.", "meta_words"),
    ("Someone is saying take twenty-three.", "spelled_units"),
    ("El perro ladra while a car is passing by the house.", "foreign_language"),
    ("A dog can be heard.", "banned_words"),
    ("Rain is recorded on a roof.", "banned_words"),
    ("A sound effect of a laser is playing.", "meta_words"),
    ("The audio has a high probability of rain.", "meta_words"),
    ("Three dogs bark 12 times.", "digits"),
    ("A tone of a few kHz is playing.", "spelled_units"),
    ("A siren is wailing for ten seconds.", "spelled_units"),
    ("A twenty-minute storm is raging.", "spelled_units"),
    ("A dog barks for half a minute.", "spelled_units"),
    ("A dog is barking [1].", "bracketed_number"),
    ("2. A dog is barking.", "bracketed_number"),
    ("A dog is barking [in a yard].", "markup"),
    ("A dog is barking <b>loudly</b>.", "markup"),
    ("A dog is barking 🐶.", "markup"),
    ("| a | b |", "markup"),
    ("A dog is\x00 barking.", "control_characters"),
    ("A dog is \x1b[31mbarking.", "control_characters"),
    ("A dog is \ud83d barking.", "control_characters"),
    ("Here is the caption you wanted: a dog barks.", "meta_words"),
    ("Sorry, I cannot describe this sound.", "failure"),
    ("The sample of a kick drum is labelled.", "meta_words"),
    ("A train horn is blowing at www.example.com.", "markup"),
    ("Ein Hund bellt im Garten neben dem Haus.", "foreign_language"),
    ("A дог is barking.", "foreign_language"),
    ("A d\u0337og is b\u0336arking.", "control_characters"),
    ("A dog can be he\u034fard.", "control_characters"),
    ("A dog → barks.", "markup"),
    ("A dog barks at example.io loudly.", "markup"),
    ("Here’s a dog barking.", "meta_words"),
    ("A dog barks\u3002A cat meows.", "several_sentences"),
    ("A tram is passing in Lyon.", "named_entity"),
    ("Paris traffic is roaring.", "named_entity"),
    ("A Zoom microphone is picking up rain.", "named_entity"),
    ("A tram is passing in the streets of lisbon.", "named_entity"),
    ("John is sneezing loudly.", "named_entity"),
    ("Mozart is playing on a piano.", "named_entity"),
    ("A big crash.", "no_verb"),
    ("Rhythmic banging as water drips.", "no_verb"),
    ("Light rain and crickets at sunset.", "no_verb"),
    ("Various engine noises.", "no_verb"),
    ("An electronic device whirring.", "no_verb"),
    ("An electronic device that creates a ripple.", "no_verb"),
]

HOSTILE = [
    ("", "too_short"),
    (".", "too_short"),
    ("42", "digits"),
    ("1234567 89", "digits"),
    ("\u202e\u0000", "control_characters"),
    ("\x00", "control_characters"),
    ("🐶🐶🐶", "markup"),
    ("<b>dog</b>", "markup"),
    ("<script>alert(1)</script>", "markup"),
    ("&lt;img src=x&gt;", "markup"),
    ("كلب ينبح في الفناء", "foreign_language"),
    ("כלב נובח בחצר", "foreign_language"),
    ("\ud800", "control_characters"),
    ("x" * 20_000, "too_long"),
    ("\n".join(["A dog barks."] * 9_000), "too_long"),
]

# Sentences that only look as if they had a fault.
HARMLESS = [
    "A cock is crowing.",
    "An ass brays in a field.",
    "A tit is singing in a hedge.",
    "A shell is falling on a beach.",
    "A bitch is nursing her puppies.",
    "Someone is shelling peas and shooing a cat.",
    "A booby is calling over the sea.",
    "A scunthorpe train passes.",
    "A hearing aid is whistling.",
    "A record player is crackling.",
    "An audio cassette is rewinding.",
    "A label maker is printing.",
    "A metal file is scraping.",
    "Two feet are walking on gravel.",
    "One dog barks and a second dog answers.",
    "A T. rex is roaring.",
    "A guitar is playing an E chord.",
    "A dog barks – and a cat meows.",
    "A café door is squeaking.",
]

FAULTY_FOR_SMALL_MODELS = [
    ("A gong is a musical instrument.", "Gong", "definition"),
    ("An owl is sleeping.", "Owl, animal sound", "silent_verb"),
    ("A woman is wearing a dress.", "Afro string", "ungrounded"),
    ("A factory is building a factory.", "Toy factory", "repeats"),
    ("A sneeze is sneezing.", "Sneeze", "repeats"),
]


FAULTY_WHERE_STRICT = [
    ("A fucking door is slamming.", "door slam", "profanity"),
    (
        "An old steam train leaves the busy station.",
        "Old steam train leaves the busy station. Enjoy!",
        "echo_of_text",
    ),
]


def rules_of(caption: str, text: str = "", settings: RuleSettings = RULE_PRESETS["paper"]) -> list[str]:
    (judged,) = judge([Candidate(caption, text)], settings)
    return [finding.rule for finding in judged.findings]


@pytest.mark.slow
@pytest.mark.parametrize("caption", GOOD)
def test_sentences_about_sounds_are_accepted(caption: str) -> None:
    (judged,) = judge([Candidate(caption, "")], RULE_PRESETS["paper"])
    assert (judged.verdict, judged.complaint) == (Verdict.ACCEPT, "")


@pytest.mark.slow
@pytest.mark.parametrize(("caption", "rule"), FAULTY)
def test_each_fault_is_named(caption: str, rule: str) -> None:
    assert rule in rules_of(caption)
    others = tuple(name for name in RULE_PRESETS["paper"].enabled if name != rule)
    assert rule not in rules_of(caption, settings=RuleSettings(enabled=others))


@pytest.mark.parametrize(("caption", "text", "rule"), FAULTY_FOR_SMALL_MODELS)
def test_small_models_are_held_to_more(caption: str, text: str, rule: str) -> None:
    assert rule in rules_of(caption, text, RULE_PRESETS["small"])
    assert rules_of(caption, text) == []


@pytest.mark.parametrize(("caption", "text", "rule"), FAULTY_WHERE_STRICT)
def test_strict_asks_for_more(caption: str, text: str, rule: str) -> None:
    assert rules_of(caption, text, RULE_PRESETS["strict"]) == [rule]
    assert rules_of(caption, text) == []


@pytest.mark.parametrize(("caption", "text", "rule"), FAULTY_FOR_SMALL_MODELS)
def test_strict_notes_what_is_often_a_false_alarm(caption: str, text: str, rule: str) -> None:
    (judged,) = judge([Candidate(caption, text)], RULE_PRESETS["strict"])
    verdict = next(finding.verdict for finding in judged.findings if finding.rule == rule)
    assert (verdict is Verdict.ACCEPT) == (rule in ("ungrounded", "repeats"))


@pytest.mark.parametrize("caption", HARMLESS)
def test_what_only_looks_like_a_fault_is_none(caption: str) -> None:
    by_words = RuleSettings(enabled=RULES_WITHOUT_PARSER)
    assert rules_of(caption, settings=by_words) == []


def test_every_rule_has_a_case_here() -> None:
    others = (*FAULTY_FOR_SMALL_MODELS, *FAULTY_WHERE_STRICT)
    # `event_order` compares with the labelled events of a clip: test_time_rules.py.
    cases = {rule for _, rule in FAULTY} | {rule for *_, rule in others} | {"echo", "event_order"}
    assert cases == set(RULES) == set(RULE_PRESETS["strict"].enabled)


def test_words_alone_need_no_parser() -> None:
    code = (
        "import sys; from wavcaps_assets.rules.judging import *; "
        "from wavcaps_assets.rules.table import RULES_WITHOUT_PARSER; "
        "found = judge([Candidate('A dog is heard.', '')], RuleSettings(enabled=RULES_WITHOUT_PARSER)); "
        "print([one.rule for one in found[0].findings], 'spacy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['banned_words'] False"


@pytest.mark.slow
def test_a_part_of_the_parser_says_what_the_whole_of_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [Candidate(caption, text) for caption, text, _ in FAULTY_FOR_SMALL_MODELS]
    candidates += [Candidate(caption, "") for caption in (*GOOD, *(faulty for faulty, _ in FAULTY))]
    if RELEASED.is_file():
        rows = json.loads(RELEASED.read_text(encoding="utf-8"))["data"]
        candidates += [Candidate(row["caption"], row["description"] or "") for row in rows[::12]]
    every = frozenset(parser().pipe_names)
    for name in [name for name, rule in RULES.items() if rule.needs_parser]:
        partly = judge(candidates, RuleSettings(enabled=(name,)))
        with monkeypatch.context() as patched:
            patched.setitem(RULES, name, replace(RULES[name], pipes=every))
            assert judge(candidates, RuleSettings(enabled=(name,))) == partly


def test_a_verdict_can_be_chosen() -> None:
    noted = RuleSettings(verdicts={"banned_words": "accept"})
    (judged,) = judge([Candidate("A dog is heard.", "")], noted)
    assert (judged.verdict, judged.complaint) == (Verdict.ACCEPT, "banned_words (heard)")
    final = RuleSettings(verdicts={"banned_words": "drop"})
    assert judge([Candidate("A dog is heard. [1]", "")], final)[0].complaints[0].rule == "banned_words"
    with pytest.raises(ValueError, match="no rule my_rule"):
        judge([], RuleSettings(verdicts={"my_rule": "drop"}))


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


@pytest.mark.parametrize("preset", ["paper", "small", "strict"])
@pytest.mark.parametrize(("caption", "rule"), HOSTILE)
def test_hostile_captions_end_in_a_named_verdict(caption: str, rule: str, preset: str) -> None:
    (judged,) = judge([Candidate(caption, "dog")], RULE_PRESETS[preset])
    assert judged.verdict is Verdict.ASK_AGAIN
    assert rule in [finding.rule for finding in judged.findings]


@pytest.mark.timeout(60)
def test_a_long_text_costs_no_more_than_its_start() -> None:
    megabyte = ("A dog barks, " * 90_000)[: 1 << 20]
    (caption, text, neither) = judge(
        [Candidate(megabyte, "dog"), Candidate("A dog barks.", megabyte), Candidate("(" * (1 << 20), "")],
        RULE_PRESETS["strict"],
    )
    assert caption.complaint == "too_long (1048576 characters)"
    assert text.findings == []
    assert [finding.rule for finding in neither.findings] == ["too_long"]


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


@pytest.mark.slow
@pytest.mark.skipif(
    not RELEASED.is_file(), reason="needs the released SoundBible captions next to the checkout"
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
    assert found["several_sentences"] == found["spelled_units"] == found["foreign_language"] == 0
    flagged = {row["caption"] for row, one in zip(rows, judged, strict=True) if one.findings}
    assert {"A Tasmanian Devil is growling and screaming.", "An Alder Flycatcher bird is singing."} <= flagged
    # Properties of the released file: full stops throughout, no digits, 3 to 21 words.
    assert found["digits"] == found["too_short"] == 0
