"""What asking may cost, as whoever asks sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from wavcaps_assets.llm.ledger import Answer
from wavcaps_assets.llm.messages import Message


class Spending(Protocol):
    """What asking may cost. All of it is called from one event loop."""

    async def admit(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> Any:
        """Called before each request that may be paid for. What it raises stops the asking.

        Returns:
            A reservation.
        """

    def settle(self, answer: Answer, reservation: Any) -> Answer:
        """Called with each answer. Gives it back as it is to be written down, with its cost."""

    def release(self, reservation: Any) -> None:
        """Called where the endpoint took no question."""

    def lost(self, reservation: Any) -> float | None:
        """Called where a question was heard and no answer came back. Gives what it counts as (USD)."""


class Unlimited:
    """Asks whatever it costs."""

    async def admit(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> None:
        pass

    def settle(self, answer: Answer, reservation: None) -> Answer:
        return answer

    def release(self, reservation: None) -> None:
        pass

    def lost(self, reservation: None) -> None:
        return None
