"""Captions of labelled sound events in their order in time, without a model.

What a sentence says about time follows from the labels:

- "A, then B" and "A, and later B": B begins after A has ended, or at that moment. With "then", nothing that
  the sentence leaves out begins between the two.
- "A while B" and "while A, B": both sound at the same time for at least `least_overlap` of the shorter one.
- "in the background": the sound lasts almost the whole clip, and overlaps with every sound of the sentence.
- "again": the same sound was mentioned before, and something else began in between.
- "A and B" says nothing about time: the two overlap too little for "while", and too much for "then".
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from typing import Any

from wavcaps_assets.captioning.bouts import Bout, Span, bouts_of, length_s, overlap_s, spans_of, union
from wavcaps_assets.captioning.floor import template

CODE_FILE = "temporal.py"
# A background is continuous: it may pause for a tenth of the clip.
BACKGROUND_SHARE = 0.9
MOST_BACKGROUNDS = 2
# Clauses that do not name what sounds.
VAGUE = ("something ", "there is ", "a sound ")
ANYTHING = frozenset({"someone", "something"})
BEHIND = "in the background"


@dataclass(frozen=True)
class TimeLimits:
    """What a caption in temporal order says at most.

    Attributes:
        max_events: the most sounds in a sentence, repeats included.
        least_overlap: the share of the shorter of two sounds (0 to 1) in which both sound, for "while".
        max_words: the most words in a sentence.
    """

    max_events: int
    least_overlap: float
    max_words: int


def version(limits: TimeLimits) -> str:
    """Content hash of the sentences' rules and words. It takes the place of a prompt's version."""
    hashed = f"{_code()}{template.version()}{limits}"
    return hashlib.sha256(hashed.encode()).hexdigest()[:12]


@lru_cache(maxsize=1)
def _code() -> str:
    return (resources.files("wavcaps_assets.captioning.floor") / CODE_FILE).read_text(encoding="utf-8")


def caption_in_time(events: Sequence[Mapping[str, Any]], duration_s: float | None, limits: TimeLimits) -> str:
    """A sentence about the sounds in temporal order: "A dog is barking, then a car is passing.".

    Sounds that do not fit are left out: first repeats, then sounds that the labels do not name ("something
    is banging"), then those that sound for the shortest time.

    Args:
        events: each with `onset_s`, `offset_s` (s) and `label`; at least one.
        duration_s: of the clip; None: not known, so that nothing is "in the background".
    """
    spans = spans_of(events, duration_s, template.clause)
    heard = {clause: union(found) for clause, found in spans.items()}
    if not heard:
        # No label has a time at which it could sound: nothing is said about time.
        return _sentence(template.clause(events[0]["label"]))
    ranked = sorted(_named_once(heard), key=lambda clause: _rank(clause, heard[clause]))
    for count in range(min(len(ranked), limits.max_events), 0, -1):
        bouts = _at_most_twice(bouts_of({clause: heard[clause] for clause in ranked[:count]}))
        first = [bout for bout in bouts if not bout.again]
        for chosen in (bouts[: limits.max_events], first):
            if chosen is not first and not {bout.name for bout in chosen}.issuperset(ranked[:count]):
                continue
            text = _Writer(chosen, spans, duration_s, limits.least_overlap).text()
            if len(text.split()) <= limits.max_words:
                return _sentence(text)
    return _sentence(ranked[0])


def _named_once(heard: Mapping[str, Sequence[Span]]) -> list[str]:
    """The clauses without those that say less about the same sound.

    "Someone is speaking" is left out where "a man is speaking" has most of its time.
    """
    return [
        clause
        for clause, spans in heard.items()
        if not any(
            _says_less(clause, other) and overlap_s(spans, heard[other]) >= BACKGROUND_SHARE * length_s(spans)
            for other in heard
        )
    ]


def _says_less(clause: str, other: str) -> bool:
    subject, _, act = clause.partition(" is ")
    subject_of_other, _, act_of_other = other.partition(" is ")
    return subject in ANYTHING and subject_of_other not in ANYTHING and act == act_of_other != ""


def _rank(clause: str, spans: Sequence[Span]) -> tuple[bool, float, float, str]:
    """The sounds that stay in a sentence longest come first."""
    return (clause.startswith(VAGUE), -length_s(spans), spans[0][0], clause)


def _at_most_twice(bouts: Iterable[Bout]) -> list[Bout]:
    counted: Counter[str] = Counter()
    chosen = []
    for bout in bouts:
        counted[bout.name] += 1
        chosen += [bout] if counted[bout.name] <= 2 else []
    return chosen


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


class _Writer:
    """Writes a sentence about some bouts.

    Args:
        bouts: by their start.
        spans: of all sounds of the clip, by their clause.
    """

    def __init__(
        self,
        bouts: Sequence[Bout],
        spans: Mapping[str, Sequence[Span]],
        duration_s: float | None,
        least_overlap: float,
    ) -> None:
        self._bouts = bouts
        self._duration_s = duration_s
        self._least_overlap = least_overlap
        self._left_out = [
            start
            for clause, found in spans.items()
            for start, _ in found
            if not any(bout.name == clause and bout.start <= start < bout.end for bout in bouts)
        ]

    def text(self) -> str:
        behind = self._backgrounds()
        front = [bout for bout in self._bouts if bout not in behind]
        if behind:
            text = self._sequence(_clusters(front))
            joint = ", all while" if " while " in text or text.startswith("while ") else " while"
            return f"{text}{joint} {' and '.join(_behind(bout) for bout in behind)}"
        clusters = _clusters(front)
        if len(clusters) == 1 and (hub := self._hub(front)) is not None:
            others = _clusters([bout for bout in front if bout is not hub])
            if len(others) > 1:
                return f"while {_text(hub)}, {self._sequence(others)}"
        return self._sequence(clusters)

    def _backgrounds(self) -> list[Bout]:
        """The sounds that last the whole clip; empty if no other sound is left to say something about."""
        if self._duration_s is None:
            return []
        needed = BACKGROUND_SHARE * self._duration_s
        lasting = [bout for bout in self._bouts if bout.sounding_s >= needed and not bout.again]
        chosen = sorted(lasting, key=lambda bout: (-bout.sounding_s, bout.name))[:MOST_BACKGROUNDS]
        front = [bout for bout in self._bouts if bout not in chosen]
        chosen = [bout for bout in chosen if all(self._together(bout, other) for other in front)]
        return chosen if len(chosen) < len(self._bouts) else []

    def _together(self, one: Bout, other: Bout) -> bool:
        """Whether two bouts sound at the same time for long enough."""
        shorter = min(one.sounding_s, other.sounding_s)
        return 0 < self._least_overlap * shorter <= overlap_s(one.spans, other.spans)

    def _hub(self, bouts: Sequence[Bout]) -> Bout | None:
        """The longest of three or more bouts that sounds together with each of the others."""
        if len(bouts) < 3:
            return None
        hubs = [
            bout
            for bout in bouts
            if all(other is bout or self._together(bout, other) for other in bouts)
            and not (bout.again or _is_behind(bout))
        ]
        return max(hubs, key=lambda bout: bout.sounding_s, default=None)

    def _sequence(self, clusters: Sequence[Sequence[Bout]]) -> str:
        text = self._cluster(clusters[0])
        for before, after in pairwise(clusters):
            ended, begins = max(bout.end for bout in before), min(bout.start for bout in after)
            adjacent = not any(ended <= start < begins for start in self._left_out)
            text += f"{', then' if adjacent else ', and later'} {self._cluster(after)}"
        return text

    def _cluster(self, bouts: Sequence[Bout]) -> str:
        """Sounds that overlap, each with at least one of the others."""
        bouts = _each_once(bouts)
        if len(bouts) == 2 and self._together(*bouts):
            # What lasts longer is what the other one happens in.
            first, second = sorted(bouts, key=lambda bout: (not _is_behind(bout), bout.sounding_s))
            return f"{_text(first)} while {_text(second)}"
        hub = self._hub(bouts)
        if hub is not None:
            return f"{_listed([bout for bout in bouts if bout is not hub])} while {_text(hub)}"
        return _listed(bouts)


def _clusters(bouts: Sequence[Bout]) -> list[list[Bout]]:
    """Bouts in groups, each of which begins when all bouts of the groups before it have ended."""
    clusters: list[list[Bout]] = []
    ended = -math.inf
    for bout in bouts:
        if bout.start >= ended:
            clusters.append([])
        clusters[-1].append(bout)
        ended = max(ended, bout.end)
    return clusters


def _each_once(bouts: Sequence[Bout]) -> list[Bout]:
    """The bouts, with those of the same sound as one."""
    by_name: dict[str, Bout] = {}
    for bout in bouts:
        first = by_name.setdefault(bout.name, bout)
        if first is not bout:
            by_name[bout.name] = Bout(bout.name, (*first.spans, *bout.spans), first.again)
    return list(by_name.values())


def _text(bout: Bout) -> str:
    return f"{bout.name} again" if bout.again else bout.name


def _listed(bouts: Sequence[Bout]) -> str:
    texts = [_text(bout) for bout in bouts]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]


def _is_behind(bout: Bout) -> bool:
    """Whether the clause itself says so. After "while" it would be read as the background of the sentence."""
    return bout.name.endswith(BEHIND)


def _behind(bout: Bout) -> str:
    return bout.name if _is_behind(bout) else f"{bout.name} {BEHIND}"
