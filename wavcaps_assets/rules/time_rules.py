"""The rule on words of time: what a caption says about the order of sounds agrees with the clip's labels.

A statement is a fault only if it is false for all labels that the two parts of the caption may mean. A part
that mentions no label, and words of time that are not known, are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wavcaps_assets.rules.reading import Reading, SoundEvent
from wavcaps_assets.rules.rule import Rule, Verdict
from wavcaps_assets.rules.time_words import MARKERS, Reader, Said, Statement, meant_by, telling_stems

# People placed the labels. A statement that is false by less is not a fault (s).
TOLERANCE_S = 0.1
SHOWN_SPANS = 3
EVENT_ORDER = "event_order"

Span = tuple[float, float]


@dataclass(frozen=True)
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
    times, vocabulary = _sounds(reading.events)
    meant = [meant_by(part.words, vocabulary) for part in read.parts]
    for part, sounds in zip(read.parts, meant, strict=True):
        names = sorted(frozenset[str]().union(*sounds)) if part.again else []
        if names and all(len(times[name].spans) < 2 for name in names):
            return f"“again”: {names[0]} (only {times[names[0]]})"
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
    times: Mapping[str, Times],
) -> str | None:
    pairs = [
        (one, other)
        for mentioned in first
        for later in second
        for one in sorted(mentioned)
        for other in sorted(later)
    ]
    if not pairs or any(
        one == other or times[one].may_be(statement.said, times[other]) for one, other in pairs
    ):
        return None
    one, other = pairs[0]
    return f"“{statement.words}”: {one} ({times[one]}), {other} ({times[other]})"


def _sounds(events: Iterable[SoundEvent]) -> tuple[dict[str, Times], dict[str, frozenset[str]]]:
    """The times and the stems of each sound, by its first label.

    Labels with the same phrase are one sound.
    """
    of_label: dict[tuple[str, str], list[Span]] = {}
    for event in events:
        if -math.inf < event.onset_s <= event.offset_s < math.inf:
            of_label.setdefault((event.phrase, event.label), []).append((event.onset_s, event.offset_s))
    names: dict[str, str] = {}
    spans: dict[str, list[Span]] = {}
    stems: dict[str, frozenset[str]] = {}
    for (phrase, label), found in of_label.items():
        name = names.setdefault(phrase, label)
        spans.setdefault(name, []).extend(found)
        stems[name] = stems.get(name, telling_stems(phrase)) | telling_stems(label)
    return {name: Times(_joined(found)) for name, found in spans.items()}, stems


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


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
