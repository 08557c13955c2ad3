"""The outcome of a check on a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CheckOutcome:
    """Whether a check passed, with a description and the numbers behind it."""

    passed: bool
    description: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
