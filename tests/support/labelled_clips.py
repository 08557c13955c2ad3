"""Clips with labelled sound events, and a reader that compares a caption with their intervals.

It reads the sentences of `captioning/floor/temporal.py` back, and shares no code with it.
"""

from __future__ import annotations

import csv
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from tests.support.paths import DATA
from wavcaps_assets.captioning.floor.template import clauses

AUDIOSET = DATA / "audioset"
WITHOUT_AUDIOSET = f"no excerpts of the real labels at {AUDIOSET}"
LEAST_SHARE = 0.5
Event = tuple[float, float, str]
Interval = tuple[float, float]

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
