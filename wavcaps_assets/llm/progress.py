"""How far the asking is, for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wavcaps_assets.llm.ledger import Answer


@dataclass(frozen=True)
class Standing:
    """How far the asking is.

    Attributes:
        done: texts that have been answered; a text that is asked about again counts anew.
        total: texts, each counted once, however many clips it stands for.
        requests: sent by this run, those that were refused with them.
        prompt_tokens: of this run's answers, where the endpoint tells.
        completion_tokens: as above.
        rate: texts that this run has asked about, a second.
        cost_usd: what this run's answers have cost (USD); None where no price is known.
    """

    done: int
    total: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    rate: float
    cost_usd: float | None = None

    @property
    def left_s(self) -> float | None:
        """How long the rest takes at this rate (s); None while there is none."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    @property
    def line(self) -> str:
        """Rate, tokens, cost and the time that is left, for people."""
        told = [
            f"{self.rate:.1f} a second",
            f"{self.prompt_tokens + self.completion_tokens:,} tokens",
        ]
        if self.cost_usd is not None:
            told.append(f"{self.cost_usd:.4g} USD so far")
        if self.left_s is not None:
            told.append(f"some {self.left_s / 60:.0f} minutes left")
        return ", ".join(told)


# Told how many texts have been answered, of how many.
Tell = Callable[[int, int], None]
# Told the same, and what it took.
Watch = Callable[[Standing], None]


# What is worth knowing of a run, by its name for people.
Facts = Mapping[str, str | int | float]


class Account:
    """What a run will cost and has cost, told as it comes to be known, so that no end of a run hides it."""

    def __init__(self) -> None:
        self.facts: dict[str, str | int | float] = {}

    def estimated(self, facts: Facts) -> None:
        """Called before anything is asked."""
        self.facts |= facts

    def spent(self, facts: Facts) -> None:
        """Called when the asking has ended, however it did."""
        self.facts |= facts


class Counted:
    """Counts what is answered, and tells whoever wants to know."""

    def __init__(self, tell: Tell | None, watch: Watch | None) -> None:
        self._tell = tell
        self._watch = watch
        self.total = 0
        self.done = 0
        self.requests = 0
        self._asked = 0
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._cost_usd: float | None = None
        self._started = time.monotonic()

    def answer(self, answer: Answer) -> None:
        self._prompt_tokens += answer.prompt_tokens or 0
        self._completion_tokens += answer.completion_tokens or 0
        if answer.cost_usd is not None:
            self._cost_usd = (self._cost_usd or 0.0) + answer.cost_usd

    def add(self, texts: int) -> None:
        self.done += texts
        # What the ledger knew took no time.
        if self.requests:
            self._asked += texts
        if self._tell:
            self._tell(self.done, self.total)
        if self._watch:
            self._watch(self._standing())

    def _standing(self) -> Standing:
        elapsed = time.monotonic() - self._started
        return Standing(
            self.done,
            self.total,
            self.requests,
            self._prompt_tokens,
            self._completion_tokens,
            self._asked / elapsed if elapsed > 0 else 0.0,
            self._cost_usd,
        )
