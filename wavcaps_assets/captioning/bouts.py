"""Labelled sound events in time: when each sound of a clip is heard, in bouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Start and end (s).
Span = tuple[float, float]


@dataclass(frozen=True)
class Bout:
    """A sound from its first to its last moment. In its pauses no other sound begins.

    Attributes:
        name: what sounds.
        spans: when it sounds, in order, without overlap; at least one.
        again: whether an earlier bout has the same name.
    """

    name: str
    spans: tuple[Span, ...]
    again: bool = False

    @property
    def start(self) -> float:
        return self.spans[0][0]

    @property
    def end(self) -> float:
        return self.spans[-1][1]

    @property
    def sounding_s(self) -> float:
        return length_s(self.spans)


def spans_of(
    events: Iterable[Mapping[str, Any]], duration_s: float | None, named: Callable[[str], str]
) -> dict[str, list[Span]]:
    """The spans of each sound within the clip. Events without a duration there are left out.

    Args:
        events: each with `onset_s`, `offset_s` (s) and `label`.
        duration_s: of the clip; None: not known.
        named: the name of the sound that has a label. Several labels may have the same.
    """
    spans: dict[str, list[Span]] = {}
    for event in events:
        if math.isnan(event["onset_s"]) or math.isnan(event["offset_s"]):
            continue
        start = max(0.0, event["onset_s"])
        end = min(event["offset_s"], math.inf if duration_s is None else duration_s)
        if start < end < math.inf:
            spans.setdefault(named(event["label"]), []).append((start, end))
    return spans


def union(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, and those that overlap as one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def length_s(spans: Iterable[Span]) -> float:
    return sum(end - start for start, end in spans)


def overlap_s(one: Iterable[Span], other: Sequence[Span]) -> float:
    """How long two sounds are heard at the same time (s). Neither overlaps itself."""
    return sum(max(0.0, min(end, until) - max(start, since)) for start, end in one for since, until in other)


def bouts_of(heard: Mapping[str, Sequence[Span]]) -> list[Bout]:
    """The bouts of some sounds, by their start.

    Args:
        heard: by the sound's name; the spans of a sound in order, without overlap.
    """
    starts = [(start, name) for name, spans in heard.items() for start, _ in spans]
    bouts: list[Bout] = []
    for name, spans in heard.items():
        groups: list[list[Span]] = []
        for span in spans:
            pause = groups[-1][-1][1] if groups else 0.0
            other_begins = any(pause <= start < span[0] and other != name for start, other in starts)
            if groups and not other_begins:
                groups[-1].append(span)
            else:
                groups.append([span])
        bouts += [Bout(name, tuple(group), again=number > 0) for number, group in enumerate(groups)]
    return sorted(bouts, key=lambda bout: (bout.start, bout.end, bout.name))
