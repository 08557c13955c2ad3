"""What is repaired without another request, and which repairs can be chosen."""

from __future__ import annotations

import random

import pytest

from wavcaps_assets.rules.judging import Candidate, judge
from wavcaps_assets.rules.repairs import REPAIRS, repaired
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import RuleSettings


@pytest.mark.parametrize(
    ("caption", "fixed", "repairs"),
    [
        ("a dog is barking", "A dog is barking.", ["capital", "full_stop"]),
        ("A  dog\tis barking .", "A dog is barking.", ["whitespace", "full_stop"]),
        ('"A dog is barking."', "A dog is barking.", ["quotation_marks"]),
        ("A dog is barking!", "A dog is barking.", ["full_stop"]),
        ("A owl is hooting.", "An owl is hooting.", ["article"]),
        ("a explosion is rumbling.", "An explosion is rumbling.", ["article", "capital"]),
        ("An hip hop band is playing.", "A hip hop band is playing.", ["article"]),
        ("An hourly bell and an MP3 player sound.", "An hourly bell and an MP3 player sound.", []),
        ("A unicorn is neighing.", "A unicorn is neighing.", []),
        ("A water is running.", "Water is running.", ["mass_noun", "capital"]),
        ("A water can is being kicked.", "A water can is being kicked.", []),
        ("A rain can clearly be heard.", "Rain can clearly be heard.", ["mass_noun", "capital"]),
        ("A water drop is falling.", "A water drop is falling.", []),
        ("A dog's tail is thumping.", "A dog's tail is thumping.", []),
        ("Rain &amp; wind.", "Rain & wind.", ["entities"]),
        ("A cafe\u0301 door is squeaking.", "A café door is squeaking.", ["composed"]),
        ("A \u202edog\u00ad is\u200b barking\ufeff.", "A dog is barking.", ["invisible"]),
        # What one repair leaves, another one may see.
        ("A a water is running.", "Water is running.", ["mass_noun", "capital"]),
        ("Rain &amp;amp; wind!!!", "Rain & wind.", ["entities", "full_stop"]),
        ("", "", []),
    ],
)
def test_repairs(caption: str, fixed: str, repairs: list[str]) -> None:
    assert repaired(caption) == (fixed, repairs)
    assert repaired(fixed) == (fixed, [])


def test_a_repair_can_be_left_out() -> None:
    settings = RuleSettings(repairs=("full_stop",))
    (judged,) = judge([Candidate('a "dog" is barking', "")], settings)
    assert (judged.caption, judged.repairs) == ('a "dog" is barking.', ["full_stop"])
    # What is not repaired is left for the rules to see.
    assert [finding.rule for finding in judged.findings] == ["markup"]


@pytest.mark.parametrize(
    ("caption", "rule", "fixed"),
    [
        ("A dog is barking [12].", "bracketed_number", "A dog is barking."),
        ("3. A dog is barking.", "bracketed_number", "A dog is barking."),
        ("A d\u0337og is\x00 barking.", "control_characters", "A dog is barking."),
        ("A dog is \ud83d barking.", "control_characters", "A dog is barking."),
    ],
)
def test_a_rule_that_has_a_repair_may_have_the_verdict_repair(caption: str, rule: str, fixed: str) -> None:
    (asked,) = judge([Candidate(caption, "")], RuleSettings())
    assert asked.verdict is Verdict.ASK_AGAIN
    (judged,) = judge([Candidate(caption, "")], RuleSettings(verdicts={rule: "repair"}))
    assert (judged.caption, judged.verdict, judged.findings) == (fixed, Verdict.REPAIR, [])
    assert rule in judged.repairs


def test_a_repair_hides_nothing_from_other_rules() -> None:
    repairing = RuleSettings(verdicts={"control_characters": "repair"})
    (judged,) = judge([Candidate("A dog can be he\u034fard.", "")], repairing)
    assert [finding.rule for finding in judged.findings] == ["banned_words"]


def test_what_was_repaired_needs_no_repair() -> None:
    draw = random.Random(3)
    pieces = [
        "a ",
        "an ",
        "A ",
        "owl",
        "one ",
        "water",
        " is",
        "&",
        "amp;",
        "quot;",
        "#",
        "34;",
        '"',
        "*",
        ".",
    ]
    pieces += [
        "!",
        " ",
        "\t",
        "\u202e",
        "\u200b",
        "\ufeff",
        "e",
        "\u0301",
        "\xa0",
        "ß",
        "[1]",
        "1. ",
        "\x00",
        "…",
    ]
    names = frozenset(REPAIRS)
    for _ in range(20_000):
        caption = "".join(draw.choices(pieces, k=draw.randrange(1, 12)))
        fixed, _ = repaired(caption, names)
        assert repaired(fixed, names) == (fixed, [])
