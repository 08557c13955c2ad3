"""Captions in temporal order: what they say about time is true of the labels.

`claims_of` reads a caption back, and `Labels` tells from the intervals alone whether a claim is true: neither
uses the code that writes the caption.
"""

from __future__ import annotations

import csv
import math
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import pytest

from tests.support.paths import DATA
from wavcaps_assets.captioning.floor.template import clauses
from wavcaps_assets.captioning.floor.temporal import TimeLimits, caption_in_time, version

AUDIOSET = DATA / "audioset"
LEAST_SHARE = 0.5
LIMITS = TimeLimits(max_events=4, least_overlap=LEAST_SHARE, max_words=19)
Event = tuple[float, float, str]
Interval = tuple[float, float]


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


# What a caption says about time, read back from its words: how, about which clauses, and about which others.
# "then": each of the first has ended before each of the others begins. "next": in between, nothing begins.
Claim = tuple[str, list[str], list[str]]


def claims_of(text: str) -> tuple[list[str], list[Claim]]:
    """The clauses of a caption, and what it says about them."""
    text = text.removesuffix(".")
    text = text[0].lower() + text[1:]
    claims: list[Claim] = []
    background: list[str] = []
    behind = re.search(r"(?:, all)? while ((?:(?! while |, ).)*in the background)$", text)
    if behind:
        text = text[: behind.start()]
        background = [name.removesuffix(" in the background") for name in split_list(behind[1])]
        noises = {name for name in clauses().values() if name.endswith(" in the background")}
        background = [next((one for one in noises if one.startswith(name)), name) for name in background]
    hub = []
    if text.startswith("while "):
        first, text = text.removeprefix("while ").split(", ", 1)
        hub = [first]
    groups: list[list[str]] = []
    parts = re.split(r", (then|and later) ", text)
    for number, part in enumerate(parts[::2]):
        main, _, beside = part.partition(" while ")
        group = split_list(main)
        if beside:
            claims.append(("while", group, [beside]))
            group = [*group, beside]
        if number:
            claims.append(("then", groups[-1], group))
            claims += [("next", groups[-1], group)] if parts[2 * number - 1] == "then" else []
        groups.append(group)
    mentioned = [one for group in groups for one in group]
    claims += [("while", mentioned, hub)] if hub else []
    claims += [("background", mentioned, background)] if background else []
    return [*mentioned, *hub, *background], claims


@lru_cache
def known(clause: str) -> bool:
    plain = clause.removesuffix(" again")
    return not {plain, plain.removesuffix(" in the background")}.isdisjoint(clauses().values())


def split_list(text: str) -> list[str]:
    """ "a, b and c". Some clauses have "and" in them."""
    if known(text):
        return [text]
    for joint in re.finditer(r", | and ", text):
        if known(text[: joint.start()]):
            return [text[: joint.start()], *split_list(text[joint.end() :])]
    raise AssertionError(f"no clauses: {text!r}")


class Labels:
    """The intervals of each clause, clipped to the clip."""

    def __init__(self, events: Sequence[Event], duration_s: float) -> None:
        self.duration_s = duration_s
        self.of: dict[str, list[Interval]] = defaultdict(list)
        for start, end, label in events:
            start, end = max(0.0, start), min(end, duration_s)
            if start < end:
                self.of[clauses()[label]].append((start, end))

    def grid(self, clause: str) -> set[int]:
        """The milliseconds in which it sounds."""
        return {ms for start, end in self.of[clause] for ms in range(round(1000 * start), round(1000 * end))}

    def shortest(self, clause: str) -> int:
        """The milliseconds of its shortest event."""
        return min(round(1000 * (end - start)) for start, end in self.of[clause])

    def ends_before(self, one: str, other: str) -> list[tuple[float, float]]:
        """Moments at which an event of one has ended, and at which an event of the other begins."""
        return [(end, start) for _, end in self.of[one] for start, _ in self.of[other] if end <= start]


def false_claims(text: str, labels: Labels) -> list[str]:
    """What a caption says that is not true."""
    problems = []
    mentioned, claims = claims_of(text)
    plain = [one.removesuffix(" again") for one in mentioned]
    for one, clause in zip(mentioned, plain, strict=True):
        if clause not in labels.of:
            problems.append(f"{clause}: is not there")
        # Said again: there are two events, and another sound begins in between.
        if one.endswith(" again") and not (plain.count(clause) == 2 and labels.ends_before(clause, clause)):
            problems.append(f"{clause}: not again")
    for claim, ones, others in claims:
        pairs = [
            (one.removesuffix(" again"), other.removesuffix(" again")) for one in ones for other in others
        ]
        left_out = [start for clause, spans in labels.of.items() if clause not in plain for start, _ in spans]
        if claim == "next":
            moments = [moment for pair in pairs for moment in labels.ends_before(*pair)]
            if all(any(end <= start < begins for start in left_out) for end, begins in moments):
                problems.append(f"something is left out between {ones} and {others}")
        for first, second in pairs if claim != "next" else ():
            both = len(labels.grid(first) & labels.grid(second))
            if claim == "then" and not labels.ends_before(first, second):
                problems.append(f"{second} does not begin after {first}")
            # A sound that is said twice, or some of whose events are left out, has another share.
            if claim != "then" and both < LEAST_SHARE * min(labels.shortest(first), labels.shortest(second)):
                problems.append(f"{first} and {second} are together for {both} ms")
            lasting = len(labels.grid(second)) / (1000 * labels.duration_s)
            if claim == "background" and lasting < 0.9:
                problems.append(f"{second} lasts {lasting:.2f} of the clip")
    return problems


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


def drawn(rng: random.Random, times: Sequence[Sequence[Interval]]) -> list[Event]:
    """A clip with one to five sounds, with times of one real sound each."""
    events: list[Event] = []
    for _ in range(rng.randint(1, 5)):
        label = rng.choice(sorted(clauses()))
        events += [(start, end, label) for start, end in rng.choice(times)]
    if rng.random() < 0.3:
        events.append(
            (0.0, rng.choice([9.0, 9.5, 10.0]), rng.choice(["Rain", "Wind", "Music", "Background noise"]))
        )
    return sorted(events)


def made_up(rng: random.Random) -> list[Interval]:
    """Intervals on a coarse grid, so that many begin or end in the same moment."""
    starts = [rng.randint(0, 19) / 2 for _ in range(rng.choice([1, 1, 2, 3, 8]))]
    return [(start, start + rng.choice([0.0, 0.5, 0.5, 1.0, 3.0, 9.0])) for start in starts]


def assert_true(clips: Iterator[Sequence[Event]] | list[Sequence[Event]]) -> int:
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


@lru_cache(maxsize=1)
def real_clips() -> dict[str, list[Event]]:
    lines = (AUDIOSET / "mid_to_display_name.tsv").read_text(encoding="utf-8").splitlines()
    names = dict(line.split("\t") for line in lines)
    clips: dict[str, list[Event]] = defaultdict(list)
    for path in sorted(AUDIOSET.glob("strong_excerpts/*_strong.tsv")):
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                span = float(row["start_time_seconds"]), float(row["end_time_seconds"])
                clips[row["segment_id"]].append((*span, names[row["label"]]))
    return clips


@pytest.mark.slow
@pytest.mark.skipif(not AUDIOSET.is_dir(), reason=f"no excerpts of the real labels at {AUDIOSET}")
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
