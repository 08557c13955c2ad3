"""Sends one request until it has an answer or no retry is left. Every send counts in the budget."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wavcaps_assets.llm.budget import Budget, Reservation
from wavcaps_assets.llm.chat import AnswerError, BusyError, ChatModel, TemporaryError
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.progress import Usage
from wavcaps_assets.llm.rate_limiter import RateLimiter, Stopped, back_off_s
from wavcaps_assets.llm.recorder import Recorder
from wavcaps_assets.llm.records import LOST, Answer, Request, lost_record, record_of
from wavcaps_assets.llm.tokens import longest_answer, size

# Upper limits in any script: tokens a byte, and tokens around a message.
TOKENS_PER_BYTE = 1 / 3
TOKENS_PER_MESSAGE = 4


class LeaseGone(Exception):
    """Another run has the lease of a request."""


class Sender:
    """Sends requests for all workers of a session.

    A request that reached the endpoint and got no answer counts as spent at its maximum, and is in the
    ledger as lost.

    Args:
        label: stored with each answer.

    Attributes:
        error: why the budget admits no more; None while it does.
    """

    def __init__(
        self,
        model: ChatModel,
        limiter: RateLimiter,
        budget: Budget,
        recorder: Recorder,
        usage: Usage,
        label: str,
    ) -> None:
        self._model = model
        self._limiter = limiter
        self._budget = budget
        self._recorder = recorder
        self._usage = usage
        self._label = label
        self.error: Exception | None = None

    async def send(self, request: Request, holds_lease: Callable[[], Awaitable[bool]]) -> Answer:
        """The answer with its cost, once it is in the ledger.

        Args:
            holds_lease: asked before each send, which may have waited for long.

        Raises:
            LeaseGone: another run has the lease of the request by now. It was not sent again.
            AnswerError, EndpointError: as `ChatModel.send`.
            Stopped: nothing more may be sent. If the budget is the reason, `error` holds its exception.
            StoreError: the answer cannot be stored.
        """
        messages = request.messages
        answer = await self._answer(request, messages, holds_lease)
        await self._recorder.write(record_of(request, answer, self._label, size(messages)))
        self._usage.add(answer)
        return answer

    async def _answer(
        self, request: Request, messages: Sequence[Message], holds_lease: Callable[[], Awaitable[bool]]
    ) -> Answer:
        parameters = request.parameters
        longest = longest_answer(parameters) or 0
        tokens = _most_tokens(messages) + longest
        hold = Hold(self._budget)
        faults = 0
        try:
            while True:
                try:
                    await hold.reserve(messages, parameters)
                except Exception as error:
                    # Requests that were admitted before are still sent; no others are.
                    self.error = self.error or error
                    raise Stopped from error
                permit = await self._limiter.acquire(tokens)
                try:
                    if not await holds_lease():
                        raise LeaseGone
                    self._usage.requests += 1
                    reply = await self._model.send(messages, parameters)
                except BusyError as busy:
                    # The endpoint did not take the request: the reservation is for the next try.
                    self._limiter.refused(permit, busy.headers, busy.reason)
                except TemporaryError as error:
                    self._limiter.failed(permit)
                    if error.charged:
                        await self._lost(request, messages, hold, error.answer)
                    faults += 1
                    if faults > self._model.max_retries:
                        raise error.outcome from error
                    await self._limiter.pause(back_off_s(faults))
                except AnswerError as error:
                    self._limiter.failed(permit)
                    if error.charged:
                        await self._lost(request, messages, hold, error.answer)
                    raise
                except Exception:
                    self._limiter.failed(permit)
                    raise
                except BaseException:
                    # Cancelled while the request was in flight.
                    self._limiter.failed(permit)
                    hold.write_off()
                    raise
                else:
                    answer = reply.answer
                    # Endpoints count the longest answer that the request allows.
                    used = None if answer.prompt_tokens is None else answer.prompt_tokens + longest
                    self._limiter.answered(permit, reply.headers, used)
                    return hold.settle(answer)
        finally:
            hold.release()

    async def _lost(
        self, request: Request, messages: Sequence[Message], hold: Hold, sent: Answer | None
    ) -> None:
        if sent is None:
            lost = Answer("", LOST, cost_usd=hold.write_off())
        else:
            lost = replace(hold.settle(sent), finish_reason=LOST)
        record = lost_record(request, lost, self._label, size(messages))
        await self._recorder.write(record)
        self._usage.add(lost)
        self._usage.lost[record["key"]] += len(request.inputs)


class Hold:
    """The reservation for the next send, if there is one."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._reservations: list[Reservation] = []

    async def reserve(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> None:
        if not self._reservations:
            self._reservations.append(await self._budget.admit(messages, parameters))

    def settle(self, answer: Answer) -> Answer:
        return self._budget.settle(answer, self._reservations.pop())

    def write_off(self) -> float | None:
        return self._budget.write_off(self._reservations.pop())

    def release(self) -> None:
        while self._reservations:
            self._budget.release(self._reservations.pop())


def _most_tokens(messages: Sequence[Message]) -> int:
    size_bytes = sum(len(message["content"].encode()) for message in messages)
    return math.ceil(size_bytes * TOKENS_PER_BYTE + TOKENS_PER_MESSAGE * len(messages))
