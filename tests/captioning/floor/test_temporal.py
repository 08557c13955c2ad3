"""Captions in temporal order: what they say about time is true of the labels."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from tests.support.labelled_clips import (
    AUDIOSET,
    LEAST_SHARE,
    WITHOUT_AUDIOSET,
    Event,
    Labels,
    claims_of,
    drawn,
    false_claims,
    made_up,
    real_clips,
)
from wavcaps_assets.captioning.floor.template import clauses
from wavcaps_assets.captioning.floor.temporal import TimeLimits, caption_in_time, version

LIMITS = TimeLimits(max_events=4, least_overlap=LEAST_SHARE, max_words=19)


def caption(*events: Event, duration_s: float | None = 10.0, limits: TimeLimits = LIMITS) -> str:
    rows = [{"onset_s": start, "offset_s": end, "label": label} for start, end, label in events]
    return caption_in_time(rows, duration_s, limits)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(1, 2, "Bark")], "A dog is barking."),
        ([(1, 2, "Bark"), (3, 6, "Car")], "A dog is barking, then a car is driving."),
        # The second begins in the moment in which the first ends.
        ([(1, 2, "Bark"), (2, 6, "Car")], "A dog is barking, then a car is driving."),
        ([(1, 2, "Bark"), (0.5, 6, "Car")], "A dog is barking while a car is driving."),
        # 0.2 s of 1 s: too little for "while", and the car does not wait for the dog.
        ([(1, 2, "Bark"), (1.8, 6, "Car")], "A dog is barking and a car is driving."),
        (
            [(1, 2, "Bark"), (3, 6, "Car"), (3.5, 5.5, "Conversation")],
            "A dog is barking, then people are talking with each other while a car is driving.",
        ),
        (
            [(0, 10, "Rain"), (1, 2, "Bark"), (3, 6, "Car")],
            "A dog is barking, then a car is driving while rain is falling in the background.",
        ),
        # Long, but not the whole clip.
        (
            [(0.5, 7, "Speech"), (1, 2, "Bark"), (3, 6, "Cough")],
            "While someone is speaking, a dog is barking, then someone is coughing.",
        ),
        # It begins after the dog, so it is not behind the dog.
        (
            [(1, 2, "Bark"), (2.5, 9, "Rain"), (3, 6, "Cough")],
            "A dog is barking, then someone is coughing while rain is falling.",
        ),
        (
            [(1, 2, "Bark"), (3, 4, "Cough"), (5, 6, "Bark")],
            "A dog is barking, then someone is coughing, then a dog is barking again.",
        ),
        # Nothing begins between the two barks.
        ([(1, 2, "Bark"), (5, 6, "Bark"), (7, 8, "Cough")], "A dog is barking, then someone is coughing."),
        # Four sounds at most: the shortest one is left out, and "then" would say that it is not there.
        (
            [(0, 2, "Bark"), (2, 2.5, "Cough"), (3, 4, "Moo"), (5, 6.1, "Meow"), (7, 8, "Knock")],
            "A dog is barking, and later a cow is mooing, then a cat is meowing, then someone is knocking.",
        ),
        # What does not name its source is left out first, however long it is.
        (
            [(0, 4, "Bang"), (4, 5, "Bark"), (5, 6, "Cough"), (6, 7, "Moo"), (7, 8, "Meow")],
            "A dog is barking, then someone is coughing, then a cow is mooing, then a cat is meowing.",
        ),
        # The same sound with two labels.
        ([(1, 4, "Speech"), (1, 4, "Male speech, man speaking")], "A man is speaking."),
        ([(1, 4, "Bow-wow"), (2, 3, "Bark")], "A dog is barking."),
        ([(0, 10, "Rain"), (0, 10, "Wind")], "Rain is falling while the wind is blowing."),
        ([(0, 10, "Rain"), (0, 10, "Rain")], "Rain is falling."),
    ],
)
def test_a_caption_says_what_the_labels_say(events: list[Event], expected: str) -> None:
    assert (
        caption(
            *events,
        )
        == expected
    )


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(1, 1, "Bark")], "A dog is barking."),
        ([(1, 1, "Bark"), (2, 3, "Car")], "A car is driving."),
        ([(math.nan, math.nan, "Bark")], "A dog is barking."),
        ([(math.nan, 2, "Bark"), (2, 3, "Car")], "A car is driving."),
        ([(-1, 2, "Bark"), (2, 3, "Car")], "A dog is barking, then a car is driving."),
        ([(5, math.inf, "Bark"), (2, 3, "Car")], "A car is driving, then a dog is barking."),
        # The clip ends at 10 s.
        ([(9, 400, "Bark"), (12, 13, "Car")], "A dog is barking."),
        ([(3, 2, "Bark"), (4, 5, "Car")], "A car is driving."),
        ([(1, 3, "Bark"), (1, 3, "Car")], "A car is driving while a dog is barking."),
        ([(1, 2, "Theremin (air, thing)")], "There is the sound of theremin."),
    ],
)
def test_odd_events(events: list[Event], expected: str) -> None:
    assert caption(*events) == expected


def test_without_a_duration_nothing_is_in_the_background() -> None:
    events: list[Event] = [(0, 10, "Rain"), (1, 2, "Bark")]
    assert caption(*events, duration_s=None) == "A dog is barking while rain is falling."
    assert caption(*events, duration_s=30.0) == "A dog is barking while rain is falling."
    assert caption(*events) == "A dog is barking while rain is falling in the background."


def test_the_reader_sees_what_is_false() -> None:
    labels = Labels([(0, 2, "Bark"), (3, 6, "Car"), (5, 7, "Cough"), (7.5, 8, "Moo"), (0, 9.5, "Rain")], 10.0)
    dog, car, cough, cow, rain = (
        "a dog is barking",
        "a car is driving",
        "someone is coughing",
        "a cow is mooing",
        "rain is falling",
    )
    true = [
        f"{dog}, then {car}.",
        f"{dog}, then {car} and {cough}, then {cow}.",
        f"{dog}, and later {cow} while {rain} in the background.",
        f"While {rain}, {dog}, then {car}.",
    ]
    false = [
        f"{car}, then {dog}.",
        f"{car}, then {cough}.",
        f"{dog}, then {cow}.",
        f"{dog} while {car}.",
        f"{dog}, then {car} while {cow}.",
        f"{dog}, then {cow} while {car} in the background.",
        f"While {car}, {dog}, then {cow}.",
        f"{dog}, then {car}, then {dog} again.",
        "A cat is meowing.",
    ]
    assert [false_claims(text, labels) for text in true] == [[]] * len(true)
    assert all(false_claims(text, labels) for text in false)


def assert_true(clips: Sequence[Sequence[Event]]) -> int:
    described = 0
    for events in clips:
        text = caption(*events)
        assert len(text.split()) <= LIMITS.max_words
        labels = Labels(events, 10.0)
        if labels.of:
            assert not false_claims(text, labels), (text, events, false_claims(text, labels))
            described += bool(claims_of(text)[1])
    return described


@pytest.mark.slow
def test_made_up_clips_are_described_truly() -> None:
    rng = random.Random(15)
    times = [made_up(rng) for _ in range(500)]
    assert assert_true([drawn(rng, times) for _ in range(500)]) > 300


@pytest.mark.slow
@pytest.mark.skipif(not AUDIOSET.is_dir(), reason=WITHOUT_AUDIOSET)
def test_real_labels_are_described_truly() -> None:
    """All clips as they are, and clips of several sounds, each with the times of a real one."""
    clips: list[Sequence[Event]] = list(real_clips().values())
    assert len(clips) == 3_157
    assert_true(clips)
    rng = random.Random(12)
    times = [[(start, end) for start, end, _ in events] for events in clips]
    assert assert_true([drawn(rng, times) for _ in range(500)]) > 300


def test_two_hundred_events() -> None:
    rng = random.Random(200)
    labels = sorted(clauses())
    events: list[Event] = [
        (start, start + rng.random(), rng.choice(labels))
        for start in (rng.uniform(0, 10) for _ in range(200))
    ]
    assert_true([events])


def test_the_version_changes_with_the_limits() -> None:
    assert version(LIMITS) == version(TimeLimits(4, LEAST_SHARE, 19))
    assert len({version(LIMITS), version(TimeLimits(3, 0.5, 19)), version(TimeLimits(4, 0.4, 19))}) == 3
