"""What a check says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check, with the numbers that it was decided by."""

    passed: bool
    description: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
