"""Figures of a set of captions, and what thresholds make of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from wavcaps_assets.checks.quality_settings import Ceiling, Floor

# The scope of a figure of all sources together.
WHOLE = "all"
EXAMPLES = 5


class Status(StrEnum):
    """What a check ends in. Only FAILED blocks."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "not measured"


@dataclass(frozen=True)
class Example:
    """A caption that counts against a figure, and what is wrong with it."""

    clip_id: str
    caption: str
    detail: str


@dataclass(frozen=True)
class Figure:
    """A measured number.

    Attributes:
        value: a share (0 to 1), a number of words, or a distance.
        low, high: between which the value lies surely enough; both the value where all captions
            were looked at.
        of: how many captions, rows or clips it was found in.
        examples: some that count against it, the worst first.
    """

    value: float
    low: float
    high: float
    of: int
    examples: Sequence[Example] = ()

    @property
    def is_estimate(self) -> bool:
        return self.low != self.high


def exact(value: float, of: int, examples: Sequence[Example] = ()) -> Figure:
    return Figure(value, value, value, of, examples)


@dataclass(frozen=True)
class Band:
    """From where to where a figure may be."""

    low: float = -math.inf
    high: float = math.inf

    def excludes(self, figure: Figure) -> bool:
        """Whether a figure is surely outside: its whole interval is."""
        return figure.low > self.high or figure.high < self.low

    def within(self, other: Band) -> Band:
        return Band(max(self.low, other.low), min(self.high, other.high))

    def __str__(self) -> str:
        if math.isinf(self.low):
            return "any" if math.isinf(self.high) else f"at most {self.high:.4g}"
        return f"at least {self.low:.4g}" if math.isinf(self.high) else f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True)
class Limits:
    """Outside the one a person should look, outside the other nothing is published."""

    warn: Band
    error: Band

    @classmethod
    def of(cls, threshold: Ceiling | Floor, around: float | None = None) -> Limits:
        """The limits that a threshold sets: of a figure, or of its distance from a value."""
        if isinstance(threshold, Floor):
            return cls(Band(low=threshold.warn), Band(low=threshold.error))
        if around is None:
            return cls(Band(high=threshold.warn), Band(high=threshold.error))
        return cls(*(Band(around - most, around + most) for most in (threshold.warn, threshold.error)))

    def within(self, other: Limits) -> Limits:
        return Limits(self.warn.within(other.warn), self.error.within(other.error))


@dataclass(frozen=True)
class Result:
    """One figure of one scope against its limits.

    Attributes:
        check: the check that it belongs to; a check can have several measures.
        measure: what was measured.
        scope: a source, or `all`.
        figure: None where it was not measured; `note` says why.
    """

    check: str
    measure: str
    scope: str
    figure: Figure | None
    limits: Limits
    note: str = field(default="")

    @property
    def named(self) -> str:
        return self.measure.replace("_", " ")

    @property
    def status(self) -> Status:
        if self.figure is None:
            return Status.SKIPPED
        if self.limits.error.excludes(self.figure):
            return Status.FAILED
        return Status.WARNED if self.limits.warn.excludes(self.figure) else Status.PASSED

    @property
    def value(self) -> str:
        """The figure for people; with its interval, where it is an estimate."""
        if self.figure is None:
            return self.note
        between = f" ({self.figure.low:.4g} to {self.figure.high:.4g})" if self.figure.is_estimate else ""
        return f"{self.figure.value:.4g}{between}"

    @property
    def wanted(self) -> str:
        """The limits for people."""
        warn, error = str(self.limits.warn), str(self.limits.error)
        said = [f"{band}{what}" for band, what in ((warn, ""), (error, " (blocks)")) if band != "any"]
        return "; ".join(said[1:] if warn == error else said) or "any"

    @property
    def said(self) -> str:
        """One line: what was found, and what was wanted."""
        if self.figure is None:
            return f"{self.scope}: {self.named} not measured: {self.note}"
        return f"{self.scope}: {self.named} {self.value} (of {self.figure.of:,}), wanted {self.wanted}"
