"""The rule on words of time: what a caption says about the order of sounds agrees with the clip's labels.

A statement is a fault only if it is false for all labels that the two parts of the caption may mean. A part
that mentions no label, and words of time that are not known, are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from wavcaps_assets.rules.reading import Reading, SoundEvent
from wavcaps_assets.rules.rule import Rule, Verdict
from wavcaps_assets.rules.time_words import MARKERS, Reader, Said, Statement, meant_by, stems_of

# People placed the labels. A statement that is false by less is not a fault (s).
TOLERANCE_S = 0.1
SHOWN_SPANS = 3
EVENT_ORDER = "event_order"

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Times:
    """When a sound is heard: its events in order, without overlap (s)."""

    spans: tuple[Span, ...]

    def may_be(self, said: Said, other: Times) -> bool:
        """Whether it is true of an event of this sound and one of the other."""
        if said is Said.THEN:
            return other.spans[-1][0] >= self.spans[0][1] - TOLERANCE_S
        if said is Said.BEFORE:
            return self.spans[0][0] <= other.spans[-1][0] + TOLERANCE_S
        return any(
            start <= until + TOLERANCE_S and since <= end + TOLERANCE_S
            for start, end in self.spans
            for since, until in other.spans
        )

    def __str__(self) -> str:
        shown = ", ".join(f"{start:.1f} to {end:.1f}" for start, end in self.spans[:SHOWN_SPANS])
        return f"{shown}, …" if len(self.spans) > SHOWN_SPANS else f"{shown} s"


def event_order(reading: Reading) -> str | None:
    """A word of time that is false of the labels."""
    if not reading.events or MARKERS.isdisjoint(reading.words):
        return None
    read = Reader(reading.caption)
    if not read.statements and not any(part.again for part in read.parts):
        return None
    name_of, vocabulary = _names(reading.events)
    # Few of a clip's sounds are mentioned on both sides of a word of time.
    times = cache(lambda name: _times(event for event in reading.events if name_of.get(event.label) == name))
    meant = [meant_by(part.text, vocabulary) for part in read.parts]
    for part, sounds in zip(read.parts, meant, strict=True):
        names = sorted(frozenset[str]().union(*sounds)) if part.again else []
        if names and all(len(times(name).spans) < 2 for name in names):
            return f"“again”: {names[0]} (only {times(names[0])})"
    for statement in read.statements:
        first = meant[statement.first]
        beside = read.parts[statement.first].beside
        if first and beside is not None and statement.said is not Said.TOGETHER:
            # "A while B, then C" says that C is after A, or after B.
            first = [*first, *meant[beside]]
        if fault := _fault(statement, first, meant[statement.second], times):
            return fault
    return None


def _fault(
    statement: Statement,
    first: Sequence[frozenset[str]],
    second: Sequence[frozenset[str]],
    times: Callable[[str], Times],
) -> str | None:
    pairs = [
        (one, other)
        for mentioned in first
        for later in second
        for one in sorted(mentioned)
        for other in sorted(later)
    ]
    if not pairs or any(
        one == other or times(one).may_be(statement.said, times(other)) for one, other in pairs
    ):
        return None
    one, other = pairs[0]
    return f"“{statement.words}”: {one} ({times(one)}), {other} ({times(other)})"


def _names(events: Iterable[SoundEvent]) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """The name of the sound of each label, and the stems of each name.

    Labels with the same phrase are one sound, and its name is its first label.
    """
    phrases = {event.label: event.phrase for event in events if _is_timed(event)}
    names: dict[str, str] = {}
    stems: dict[str, frozenset[str]] = {}
    for label, phrase in phrases.items():
        name = names.setdefault(phrase, label)
        stems[name] = stems.get(name, frozenset()) | stems_of(label, phrase)
    return {label: names[phrase] for label, phrase in phrases.items()}, stems


def _is_timed(event: SoundEvent) -> bool:
    return -math.inf < event.onset_s <= event.offset_s < math.inf


def _times(events: Iterable[SoundEvent]) -> Times:
    joined: list[Span] = []
    for start, end in sorted((event.onset_s, event.offset_s) for event in events if _is_timed(event)):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return Times(tuple(joined))


RULES = (
    Rule(
        EVENT_ORDER,
        event_order,
        "Its words of time do not agree with when the sounds begin and end: {detail}.",
        presets=("paper", "strict"),
        # The paper's prompt does not give the model the times.
        verdict=Verdict.ACCEPT,
        preset_verdicts={"strict": Verdict.ASK_AGAIN},
        compares_events=True,
    ),
)
