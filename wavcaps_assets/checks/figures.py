"""Figures of a set of captions, compared with thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from wavcaps_assets.checks.quality_settings import Ceiling, Floor

# The scope of a figure over all sources.
WHOLE = "all"
EXAMPLES = 5


class Status(StrEnum):
    """The outcome of a check. Only FAILED blocks."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "not measured"


@dataclass(frozen=True)
class Example:
    """A caption that counts against a figure, and why."""

    clip_id: str
    caption: str
    detail: str


@dataclass(frozen=True)
class Figure:
    """A measured number.

    Attributes:
        value: a share (0 to 1), a number of words, or a distance.
        low, high: the confidence interval; both equal the value if it was not estimated.
        of: the number of captions, rows or clips that were measured.
        examples: captions that count against it, the worst first.
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
    """The range of allowed values."""

    low: float = -math.inf
    high: float = math.inf

    def excludes(self, figure: Figure) -> bool:
        """Whether the whole interval of a figure is outside."""
        return figure.low > self.high or figure.high < self.low

    def within(self, other: Band) -> Band:
        return Band(max(self.low, other.low), min(self.high, other.high))

    def __str__(self) -> str:
        if math.isinf(self.low):
            return "any" if math.isinf(self.high) else f"at most {self.high:.4g}"
        return f"at least {self.low:.4g}" if math.isinf(self.high) else f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True)
class Limits:
    """Outside `warn` a person should look. Outside `error` nothing is published."""

    warn: Band
    error: Band

    @classmethod
    def of(cls, threshold: Ceiling | Floor, around: float | None = None) -> Limits:
        """The limits of a threshold: on a figure, or on its distance from a value (`around`)."""
        if isinstance(threshold, Floor):
            return cls(Band(low=threshold.warn), Band(low=threshold.error))
        if around is None:
            return cls(Band(high=threshold.warn), Band(high=threshold.error))
        return cls(*(Band(around - most, around + most) for most in (threshold.warn, threshold.error)))

    def within(self, other: Limits) -> Limits:
        return Limits(self.warn.within(other.warn), self.error.within(other.error))


@dataclass(frozen=True)
class Result:
    """One figure of one scope, compared with its limits.

    Attributes:
        check: the check that the figure belongs to; a check can have several measures.
        measure: what was measured.
        scope: a source, or `all`.
        figure: None if it was not measured; `note` gives the reason.
    """

    check: str
    measure: str
    scope: str
    figure: Figure | None
    limits: Limits
    note: str = field(default="")

    @property
    def title(self) -> str:
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
        """The figure as text, with its interval if it is an estimate."""
        if self.figure is None:
            return self.note
        between = f" ({self.figure.low:.4g} to {self.figure.high:.4g})" if self.figure.is_estimate else ""
        return f"{self.figure.value:.4g}{between}"

    @property
    def limits_text(self) -> str:
        """The limits as text."""
        warn, error = str(self.limits.warn), str(self.limits.error)
        parts = [f"{band}{what}" for band, what in ((warn, ""), (error, " (blocks)")) if band != "any"]
        return "; ".join(parts[1:] if warn == error else parts) or "any"

    @property
    def summary(self) -> str:
        """One line: the figure and its limits."""
        if self.figure is None:
            return f"{self.scope}: {self.title} not measured: {self.note}"
        return f"{self.scope}: {self.title} {self.value} (of {self.figure.of:,}), limits: {self.limits_text}"
