"""The rule on words of time: agreement, contradiction, and what cannot be decided."""

from __future__ import annotations

import math
import random
import re

import pytest

from tests.support.labelled_clips import (
    AUDIOSET,
    LEAST_SHARE,
    WITHOUT_AUDIOSET,
    Event,
    Labels,
    drawn,
    made_up,
    real_clips,
)
from wavcaps_assets.captioning.floor.template import sound_events
from wavcaps_assets.captioning.floor.temporal import TimeLimits, caption_in_time
from wavcaps_assets.captioning.presets import choose_rules
from wavcaps_assets.rules.judging import Candidate, Judged, judge
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleChoice, RuleSettings

ONLY = RuleSettings(enabled=("event_order",))
CLIP: list[Event] = [(0, 2, "Bark"), (3, 6, "Car"), (5, 7, "Cough"), (0, 10, "Rain")]


def rows(events: list[Event]) -> list[dict[str, object]]:
    return [{"onset_s": start, "offset_s": end, "label": label} for start, end, label in events]


def complaint(caption: str, events: list[Event]) -> str:
    (judged,) = judge([Candidate(caption, "", (), sound_events(rows(events)))], ONLY)
    return judged.complaint


@pytest.mark.parametrize(
    "caption",
    [
        "A dog barks, then a car passes.",
        "A dog barks, followed by a car passing by.",
        "After a dog barks, a car passes.",
        "A car passes after a dog barks.",
        "Before a car passes, a dog barks.",
        "A dog barks before a car passes.",
        "A dog barks and a car passes afterwards.",
        "A car passes and a person coughs at the same time.",
        "A dog barks with rain in the background.",
        "While rain falls, a dog barks, then a car passes.",
        "A car drives as a person coughs.",
        # The car is after the dog, if not after the rain.
        "A dog barks while rain falls, then a car passes.",
        "Rain falls while a dog barks, and later someone coughs.",
        # Words that say nothing about the order.
        "A dog barks for a while, then a car passes.",
        "A dog barks as well as a car passing.",
        "A dog barks now and then.",
        "A dog barks as heard in a car.",
        "As heard in a car, a dog barks.",
        "A dog bark is used as a car alarm.",
        "A dog bark serves as a car alarm.",
        "A dog bark sounds as a car.",
        "A dog bark, known as a car alarm.",
        "A car passes. After that, someone coughs.",
        "A dog barks, after that a car passes.",
        "A dog barks, after which a car passes.",
        "A car passes, next to a dog that barks.",
        "A car passes in the next room and next door a dog barks.",
        # The subject is the same.
        "A dog barks as it drives a car.",
        "While driving a car, a dog barks.",
        "A dog barks while still driving a car.",
        "A dog barks while in a car.",
        "A dog barks at the same time as it drives a car.",
        "A dog barks as they drive a car.",
        # Denied.
        "A dog barks, but not while a car passes.",
        "A dog doesn't bark while a car passes.",
        "A dog barks while no car passes.",
        "A car does not pass until a dog barks.",
        "A dog barks, and not again.",
        # Without the comma after the first part.
        "While a dog barks music plays, then a car passes.",
        "While a dog barks music plays, and later someone coughs.",
        # A reason, or one time.
        "A dog barks since a car passes.",
        "A car passes once a dog barks.",
        "A dog barks, next a car passes.",
        "A dog barks prior to a car passing.",
        "A dog barks until a car passes.",
        "Until a car passes, a dog barks.",
        # Sounds without a label, and labels by a more general word.
        "Music plays, then a bird sings.",
        "A vehicle passes, then an animal makes noise.",
        "Then a dog barks.",
        "A dog barks.",
    ],
)
def test_what_agrees_or_cannot_be_decided_is_no_fault(caption: str) -> None:
    assert complaint(caption, CLIP) == ""


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A car passes, then a dog barks.", "then"),
        ("A car passes and then a dog barks.", "then"),
        ("A car passes, then someone coughs.", "then"),
        ("A car passes, and later a dog barks.", "later"),
        ("A car passes while a dog barks.", "while"),
        ("A car passes followed by a dog barking.", "followed by"),
        ("After a car passes, a dog barks.", "after"),
        ("A dog barks after a car passes.", "after"),
        ("A car passes before a dog barks.", "before"),
        ("Before a dog barks, a car passes.", "before"),
        ("A car passes and a dog barks afterwards.", "afterwards"),
        ("A dog barks and a person coughs at the same time.", "at the same time"),
        ("A dog barks as a person coughs.", "as"),
        ("A dog barks with a car in the background.", "with"),
        ("While a dog barks, a car passes.", "while"),
        ("A dog barks again, then a car passes.", "again"),
        ("First a car passes, next a dog barks.", "next"),
        ("A car passes and next a dog barks.", "next"),
        ("A car passes, after which a dog barks.", "after which"),
        ("A car passes prior to a dog barking.", "prior to"),
        ("Prior to a dog barking, a car passes.", "prior to"),
        ("A car passes until a dog barks.", "until"),
        ("Until a dog barks, a car passes.", "until"),
        ("A dog barks while something coughs.", "while"),
        ("A dog barks as a car sounds.", "as"),
    ],
)
def test_what_contradicts_the_labels_is_found(caption: str, words: str) -> None:
    assert f"“{words}”" in complaint(caption, CLIP)


def test_a_word_that_two_labels_share_is_not_decided() -> None:
    speakers: list[Event] = [(0, 2, "Male speech, man speaking"), (4, 6, "Female speech, woman speaking")]
    assert complaint("Someone speaks, then a man speaks.", speakers) == ""
    assert "then" in complaint("A woman talks, then a man speaks.", speakers)
    # Said of one sound: the dog barks twice.
    assert complaint("A dog barks, then barks again.", [(0, 1, "Bark"), (3, 4, "Bark")]) == ""


@pytest.mark.parametrize(
    "events",
    [
        [],
        [(math.nan, 1, "Bark"), (0, math.inf, "Car")],
        [(5, 2, "Bark"), (0, 1, "Car")],
        # Within what people place labels with.
        [(0.95, 2, "Bark"), (0, 1, "Car")],
        [(1, 1, "Bark"), (0, 1, "Car")],
    ],
)
def test_odd_events_are_no_fault(events: list[Event]) -> None:
    assert complaint("A car passes, then a dog barks.", events) == ""


@pytest.mark.parametrize("caption", ["Then.", "while", "as as as", ", , then ,", "again", "after", "."])
def test_odd_captions_are_read(caption: str) -> None:
    assert complaint(caption, CLIP) == ""


def test_what_follows_depends_on_the_prompt() -> None:
    candidate = Candidate("A car passes, then a dog barks.", "", (), sound_events(rows(CLIP)))

    def judged(rules: RuleSettings) -> Judged:
        assert "event_order" in rules.enabled
        # Without the other rules, which need the parser.
        (one,) = judge([candidate], rules.model_copy(update={"enabled": ("event_order",)}))
        return one

    # The paper's prompt does not give the times: the fault is recorded, and the caption is published.
    of_paper = judged(RULE_PRESETS["paper"])
    assert of_paper.accepted and [one.rule for one in of_paper.findings] == ["event_order"]
    assert judged(RULE_PRESETS["strict"]).verdict is Verdict.ASK_AGAIN
    assert judged(choose_rules(RuleChoice(), False, temporal=True)).verdict is Verdict.ASK_AGAIN
    assert judged(choose_rules(RuleChoice(verdicts={"event_order": "accept"}), False, temporal=True)).accepted


@pytest.mark.slow
@pytest.mark.parametrize(
    "real",
    [False, pytest.param(True, marks=pytest.mark.skipif(not AUDIOSET.is_dir(), reason=WITHOUT_AUDIOSET))],
)
def test_captions_of_labelled_clips(real: bool) -> None:
    """No false flags on true captions; most of those in which two sounds are exchanged are found."""
    rng = random.Random(3)
    times = [made_up(rng) for _ in range(500)]
    if real:
        times = [[(start, end) for start, end, _ in events] for events in real_clips().values()]
    exchanged = together = apart = found_exchanged = found_together = found_apart = 0
    for _ in range(1_000):
        events = drawn(rng, times)
        caption = caption_in_time(rows(events), 10.0, TimeLimits(4, LEAST_SHARE, 19))
        assert complaint(caption, events) == ""
        labels = Labels(events, 10.0)
        if match := re.fullmatch(r"(\w)([^,]*), then ([^,]*)\.", caption):
            one, other = f"{match[1].lower()}{match[2]}", match[3]
            # Not every exchange is false: two sounds may follow each other in both orders.
            if labels.of.keys() >= {one, other} and not labels.ends_before(other, one):
                exchanged += 1
                found_exchanged += bool(complaint(f"{other}, then {one}.", events))
            # People place labels to a tenth of a second.
            if labels.of.keys() >= {one, other} and not any(
                start <= until + 0.1 and since <= end + 0.1
                for start, end in labels.of[one]
                for since, until in labels.of[other]
            ):
                apart += 1
                found_apart += bool(complaint(f"{one} while {other}.", events))
        if match := re.fullmatch(r"(\w)([^,]*) while ([^,]*)\.", caption):
            one, other = f"{match[1].lower()}{match[2]}", match[3]
            if labels.of.keys() >= {one, other} and not labels.ends_before(one, other):
                together += 1
                found_together += bool(complaint(f"{one}, then {other}.", events))
    assert exchanged > 20 and found_exchanged >= 0.85 * exchanged
    assert together > 20 and found_together >= 0.85 * together
    assert apart > 20 and found_apart >= 0.85 * apart
