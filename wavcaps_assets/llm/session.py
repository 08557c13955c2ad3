"""The entry point to a language model: every request is paid for once, within a budget.

A `Session` owns the model, the response ledger, the budget, the prices, the rate limiter and the leases.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from wavcaps_assets.llm.batch.lines import BatchRequest
from wavcaps_assets.llm.batch.model import BatchModel
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.chat import AnswerError, ChatModel
from wavcaps_assets.llm.dispatcher import Dispatcher, Handler
from wavcaps_assets.llm.estimate import Estimate, estimate
from wavcaps_assets.llm.leases import open_leases
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import Prices, load_prices
from wavcaps_assets.llm.progress import Tally, Usage
from wavcaps_assets.llm.rate_limiter import RateLimiter
from wavcaps_assets.llm.recorder import Recorder
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.sender import Sender
from wavcaps_assets.llm.settings import ModelSettings, RequestLimits
from wavcaps_assets.llm.tokens import size
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.machines import OneMachine, has_conditional_writes
from wavcaps_assets.store.storage import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """What a session opens when it is first used."""

    model: ChatModel
    ledger: ResponseLedger
    prices: Prices
    budget: Budget


class Session:
    """Requests to one model. Use as a context manager; opens the ledger and the budget at the first use.

    Two sessions with the same store never pay for the same request: each looks in the ledger first, and
    leases a request before it sends it.

    Args:
        settings: the model, its prices and its budget.
        store: holds the response ledger (`log/answers`) and the log of batches.
        limits: concurrency, rate limits and retries.
        label: stored with each answer, such as the name of a data set; `llm_costs` shows costs by it.
        run: sessions with the same name share the budget of a run; empty: this session has its own.
        progress: receives the texts that are done, the estimate, and what was sent and spent.

    Every method raises, at the first use:
        EndpointError: a setting of the model is missing.
        PriceError: there is a budget, and the price of the model is not known.
        StoreError: the ledger cannot be read.
    """

    def __init__(
        self,
        settings: ModelSettings,
        store: Store,
        *,
        limits: RequestLimits | None = None,
        label: str = "",
        run: str = "",
        progress: Progress | None = None,
    ) -> None:
        self.settings = settings
        self.usage = Usage()
        self.progress = progress or NoProgress()
        self._store = store
        self._limits = limits or RequestLimits()
        self._label = label
        self._run = run
        self._limiter = RateLimiter(self._limits)
        self._stack = ExitStack()
        self._estimated = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "_opened" in self.__dict__:
            spent = {"spent by this run (USD)": self._opened.budget.run_usd}
            self.progress.record({**self.usage.facts(), **spent})
        self._stack.close()

    @property
    def model_name(self) -> str:
        return self.settings.model

    @property
    def ledger(self) -> ResponseLedger:
        return self._opened.ledger

    @property
    def prices(self) -> Prices:
        return self._opened.prices

    def request(self, messages: Sequence[Message], **parameters: Any) -> Request:
        """A request to this session's model.

        Args:
            parameters: sampling parameters; a budget requires `max_tokens`.
        """
        changed = self.settings.parameter_changes.apply(parameters)
        return Request.of(messages, self.model_name, **changed)

    def find(self, request: Request) -> Answer | None:
        """The answer in the ledger; None if there is none. Sends nothing."""
        return self.ledger.get(request)

    def estimate(
        self, requests: Iterable[Request], batch: bool = False, follow_ups: Iterable[Request] = ()
    ) -> Estimate:
        """Tokens and cost of the requests that have no answer yet. Sends nothing.

        The estimate is logged. The first one of a session goes to `progress`.

        Args:
            requests: read once.
            batch: at the prices of a batch interface.
            follow_ups: the requests that the answers may lead to, for the upper end of the cost.
        """
        opened = self._opened
        found = estimate(requests, opened.ledger, opened.prices, self.settings, batch, follow_ups)
        logger.info("%s", found.summary)
        if not self._estimated:
            self._estimated = True
            self.progress.record(found.metadata())
        return found

    def ask(self, requests: Sequence[Request]) -> list[Answer | None]:
        """The answers, in the order of the requests. Sends those that the ledger does not answer.

        Returns:
            None in place of an answer that the endpoint did not give; the next call tries it again.

        Raises:
            As `process`.
        """
        answers: dict[str, Answer] = {}
        missing: dict[str, Request] = {}
        tally = self.tally(sum(len(request.inputs) for request in requests))
        for request in requests:
            if (known := self.find(request)) is None:
                missing[request.key] = request
            else:
                answers[request.key] = known
                tally.add(len(request.inputs))

        def keep(request: Request, outcome: Answer | AnswerError) -> tuple[()]:
            if isinstance(outcome, Answer):
                answers[request.key] = outcome
            else:
                logger.warning("request %s has no answer: %s", request.key[:12], outcome)
            tally.add(len(request.inputs))
            return ()

        self.process(missing.values(), keep)
        return [answers.get(request.key) for request in requests]

    def process(self, requests: Iterable[Request], handle: Handler) -> None:
        """Sends requests, and those that follow from their answers, many at the same time.

        `handle` is called with each request and its answer, or with the `AnswerError` in its place, as
        soon as the answer is in the ledger. It returns more requests to send. It runs in this thread;
        in a notebook, whose event loop has this thread, in another one, while this one waits.

        Raises:
            Paused: the budget is used up. What was answered is kept; a later run continues from there.
            EndpointError: no request can be answered.
            BudgetTooSmall: one request can cost more than the whole budget.
            StoreError: an answer cannot be stored.
            ValueError: a request is for another model, or has no messages.
            Exception: raised by `handle`.
        """
        waiting = [self._checked(request) for request in requests]
        if waiting:
            self._run_loop(waiting, handle)

    def batch(self, requests: Iterable[Request], settings: BatchSettings | None = None) -> Mapping[str, str]:
        """Sends requests through OpenAI's Batch API: half the price, within a day.

        Returns:
            The reason for each request that got no answer, by the request's key.

        Raises:
            Paused: the batches take longer than a run waits, or the budget is used up. Called again, it
                continues from there.
            EndpointError: no request can be answered, or the endpoint has no Batch API.
        """
        opened = self._sending
        waiting = [
            BatchRequest(one, self._label, size(one.messages)) for one in requests if one not in opened.ledger
        ]
        model = BatchModel(self.settings, self._store, limits=settings)
        failed = model.answer_all(waiting, opened.ledger, opened.budget, self.progress).failed
        self.progress.record({"requests without an answer by batch": len(failed)})
        return failed

    def collect_batches(self) -> None:
        """Stores the answers of batches that earlier runs submitted and that have ended. Sends no request."""
        opened = self._sending
        BatchModel(self.settings, self._store).collect(opened.ledger, opened.budget)

    def tally(self, texts: int) -> Tally:
        """Follows work on this many texts: reports rate, tokens and cost to the session's progress."""
        return Tally(self.usage, self.progress, texts)

    @cached_property
    def _opened(self) -> Opened:
        model = ChatModel(self.settings, self._limits.max_retries)
        prices = load_prices(self.settings.prices)
        ledger = self._stack.enter_context(ResponseLedger(self._store, ANSWERS))
        budget = Budget(prices, self.model_name, ledger, self.settings, run=self._run)
        return Opened(model, ledger, prices, self._stack.enter_context(budget))

    @cached_property
    def _sending(self) -> Opened:
        """As `_opened`; and no other machine may send, where the store cannot tell machines apart."""
        store = self._store
        if not has_conditional_writes(store, ANSWERS):
            self._stack.enter_context(OneMachine(store, ANSWERS))
        return self._opened

    def _checked(self, request: Request) -> Request:
        if request.model != self.model_name:
            raise ValueError(f"a request for {request.model!r} in a session with {self.model_name!r}")
        if not request.conversation:
            raise ValueError(f"request {request.key[:12]} has no messages")
        return request

    def _run_loop(self, requests: Sequence[Request], handle: Handler) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self._process(requests, handle))
            return
        with ThreadPoolExecutor(1) as pool:
            try:
                pool.submit(lambda: asyncio.run(self._process(requests, handle))).result()
            except BaseException:
                # Interrupted while it waits: the thread ends after the requests in flight.
                self._limiter.stop()
                raise

    async def _process(self, requests: Sequence[Request], handle: Handler) -> None:
        opened, limiter = self._sending, self._limiter
        limiter.start()
        async with (
            open_leases(opened.ledger) as leases,
            opened.model,
            Recorder(opened.ledger) as recorder,
        ):
            sender = Sender(opened.model, limiter, opened.budget, recorder, self.usage, self._label)
            dispatcher = Dispatcher(sender, leases, opened.ledger, limiter, self.usage)
            await dispatcher.run(requests, handle)
