"""Sends many requests at the same time, each of them once among all runs, and passes every answer on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from functools import partial

from wavcaps_assets.llm.chat import AnswerError
from wavcaps_assets.llm.leases import Leases
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.progress import Usage
from wavcaps_assets.llm.rate_limiter import RateLimiter, Stopped
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.sender import LeaseGone, Sender

# While an answer is being stored, the next request is sent; the rate limiter bounds what is in flight. A
# kill costs the requests that were sent and are not stored: this many at most.
WORKERS_A_REQUEST = 1.1

# Called with each request and its answer, or the error in its place, once the answer is in the ledger.
# Returns the requests that follow from it.
Handler = Callable[[Request, Answer | AnswerError], Iterable[Request]]


class Dispatcher:
    """A queue of requests and its workers. Use it once."""

    def __init__(
        self, sender: Sender, leases: Leases, ledger: ResponseLedger, limiter: RateLimiter, usage: Usage
    ) -> None:
        self._sender = sender
        self._leases = leases
        self._ledger = ledger
        self._limiter = limiter
        self._usage = usage
        self._error: BaseException | None = None

    async def run(self, requests: Iterable[Request], handle: Handler) -> None:
        """Sends the requests, and those that `handle` returns, until none is left.

        After an error nothing new is sent. Requests in flight are awaited, and their answers stored, first.

        Raises:
            EndpointError: no request can be answered, or too many in a row were not.
            BaseException: from the budget, the ledger or `handle`, or an interruption of the run.
        """
        queue: asyncio.Queue[Request] = asyncio.Queue()
        for request in requests:
            queue.put_nowait(request)

        async def work() -> None:
            while True:
                request = await queue.get()
                try:
                    if self._error is None:
                        for following in await self._next(request, handle):
                            queue.put_nowait(following)
                except Stopped:
                    pass
                except BaseException as error:
                    if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                        raise
                    # Also what interrupts a run, such as Dagster's termination: a task would swallow it.
                    self._error = self._error or error
                    self._limiter.stop()
                finally:
                    self._error = self._error or self._sender.error
                    queue.task_done()

        count = math.ceil(self._limiter.concurrency * WORKERS_A_REQUEST)
        workers = [asyncio.create_task(work()) for _ in range(count)]
        try:
            await queue.join()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._error is not None:
            raise self._error

    async def _next(self, request: Request, handle: Handler) -> Iterable[Request]:
        """Sends a request, unless another run does or has. Returns the requests to look at next."""
        if not await self._leases.acquire(request.key):
            answer = self._ledger.get(request)
            if answer is not None:
                return handle(request, answer)
            await self._limiter.pause(self._leases.poll_s)
            return [request]
        try:
            answer = self._ledger.get(request)
            return handle(request, await self._send(request) if answer is None else answer)
        except LeaseGone:
            return [request]
        finally:
            self._leases.release(request.key)

    async def _send(self, request: Request) -> Answer | AnswerError:
        try:
            answer = await self._sender.send(request, partial(self._leases.holds, request.key))
        except AnswerError as error:
            self._usage.failed(str(error), error.about_request)
            return error
        self._usage.succeeded()
        return answer


def _is_cancelled() -> bool:
    """Whether this task is cancelled, and not only something that it called."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
