"""Sends one question until it is answered or will not be: at the common pace, and paid for send by send."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from wavcaps_assets.llm.chat import AnswerError, BusyError, ChatModel, PassingError
from wavcaps_assets.llm.ledger import LOST, Answer, Request, lost_request
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.progress import Counted
from wavcaps_assets.llm.rate_limiter import RateLimiter, Stopped, back_off_s
from wavcaps_assets.llm.recorder import Recorder
from wavcaps_assets.llm.spending import Spending
from wavcaps_assets.llm.tokens import size

# Never more tokens than so many a byte, in any script, and so many for what stands around a message.
TOKENS_PER_BYTE = 1 / 3
TOKENS_PER_MESSAGE = 4


class Sender:
    """Asks for all workers of a run.

    Every request that may be paid for is admitted by itself. One that was heard and brought no answer
    counts as spent at its most, and stands in the ledger as lost.

    Args:
        taken: counts the texts of each record that it makes, by the record's key.
    """

    def __init__(
        self,
        model: ChatModel,
        source: str,
        pace: RateLimiter,
        spending: Spending,
        recorder: Recorder,
        counted: Counted,
        taken: Counter[str],
    ) -> None:
        self._model = model
        self._source = source
        self._pace = pace
        self._spending = spending
        self._recorder = recorder
        self._counted = counted
        self._taken = taken
        self.error: Exception | None = None

    async def ask(self, question: Request, messages: Sequence[Message]) -> Answer:
        """The answer, with its cost. It is for the caller to write down.

        Raises:
            AnswerError, EndpointError: as `ChatModel.ask`.
            Stopped: nothing more is to be asked; `error` says why, where the spending was refused.
        """
        parameters = question.parameters
        tokens = _most_tokens(messages, parameters)
        held = Held(self._spending)
        faults = 0
        try:
            while True:
                try:
                    await held.admit(messages, parameters)
                except Exception as error:
                    # What was admitted before is still asked; nothing else is.
                    self.error = self.error or error
                    raise Stopped from error
                turn = await self._pace.turn(tokens)
                self._counted.requests += 1
                try:
                    reply = await self._model.ask(messages, parameters)
                except BusyError as busy:
                    # Not taken: what is set aside is for the next try.
                    self._pace.refused(turn, busy.headers, busy.reason)
                except PassingError as error:
                    self._pace.failed(turn)
                    if error.heard:
                        await self._lost(question, messages, held)
                    faults += 1
                    if faults > self._model.max_retries:
                        raise error.outcome from error
                    await self._pace.pause(back_off_s(faults))
                except AnswerError as error:
                    self._pace.failed(turn)
                    if error.heard:
                        await self._lost(question, messages, held)
                    raise
                except Exception:
                    self._pace.failed(turn)
                    raise
                except BaseException:
                    # Cut off while it was under way.
                    self._pace.failed(turn)
                    held.lost()
                    raise
                else:
                    answer = reply.answer
                    # Endpoints count the longest answer that there could have been.
                    known = answer.prompt_tokens is not None
                    counted = (answer.prompt_tokens or 0) + parameters["max_tokens"]
                    self._pace.answered(turn, reply.headers, counted if known else None)
                    return held.settle(answer)
        finally:
            held.release()

    async def _lost(self, question: Request, messages: Sequence[Message], held: Held) -> None:
        lost = Answer("", LOST, cost_usd=held.lost())
        record = lost_request(question, lost, self._source, size(messages))
        await self._recorder.write(record)
        self._counted.answer(lost)
        self._taken[record["key"]] += len(question.inputs)


class Held:
    """What is set aside for the next request, if anything is."""

    def __init__(self, spending: Spending) -> None:
        self._spending = spending
        self._reservations: list[Any] = []

    async def admit(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> None:
        if not self._reservations:
            self._reservations.append(await self._spending.admit(messages, parameters))

    def settle(self, answer: Answer) -> Answer:
        return self._spending.settle(answer, self._reservations.pop())

    def lost(self) -> float | None:
        return self._spending.lost(self._reservations.pop())

    def release(self) -> None:
        while self._reservations:
            self._spending.release(self._reservations.pop())


def _most_tokens(messages: Sequence[Message], parameters: Mapping[str, Any]) -> int:
    size_bytes = sum(len(message["content"].encode()) for message in messages)
    return math.ceil(
        size_bytes * TOKENS_PER_BYTE + TOKENS_PER_MESSAGE * len(messages) + parameters["max_tokens"]
    )
