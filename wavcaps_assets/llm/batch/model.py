"""A model behind OpenAI's Batch API: half the price, within a day, answers in any order.

Limits, states and files are as in https://developers.openai.com/api/docs/guides/batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from wavcaps_assets.llm.batch.endpoint import BatchEndpoint
from wavcaps_assets.llm.batch.lines import BatchRequest
from wavcaps_assets.llm.batch.log import BATCHES, BatchLog
from wavcaps_assets.llm.batch.run import BatchOutcome, BatchRun
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.chat import ChatModel, EndpointError
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.errors import Unavailable
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.storage import Store

logger = logging.getLogger(__name__)


class BatchModel:
    """A model that answers through batches.

    Args:
        settings: where the model is.
        store: of the log.
        folder: of the log, in the store.
        limits: on batches and on waiting.
        max_retries: retries of the `openai` client after a temporary fault.

    Raises:
        EndpointError: a setting is missing, so that no request can succeed.
    """

    def __init__(
        self,
        settings: ModelSettings,
        store: Store,
        folder: str = BATCHES,
        limits: BatchSettings | None = None,
        max_retries: int = 4,
    ) -> None:
        ChatModel(settings)
        self.settings = settings
        self.limits = limits or BatchSettings()
        self.store = store
        self._folder = folder
        self._max_retries = max_retries

    @property
    def name(self) -> str:
        return self.settings.model

    def answer_all(
        self,
        requests: Sequence[BatchRequest],
        ledger: ResponseLedger,
        budget: Budget,
        progress: Progress | None = None,
    ) -> BatchOutcome:
        """Sends the requests that the ledger does not answer, and stores every answer in it.

        As many are submitted at a time as the budget has room for at their maximum cost. Batches of earlier
        runs that have ended are collected too, whatever they asked.

        Args:
            requests: in any order, with or without duplicates.
            progress: receives how many requests are answered.

        Raises:
            Paused: the batches take longer than a run waits, or the endpoint cannot answer now. Called
                again, it continues from there.
            BudgetExhausted: not all requests fit. Those that fit are answered.
            EndpointError: no request can be answered, or the endpoint has no Batch API.
            StoreError: the log or the ledger cannot be read or written.
        """
        wanted = {one.request.key: one for one in requests}
        others = {one.request.model for one in wanted.values()} - {self.name}
        if others:
            raise ValueError(f"requests for {sorted(others)} cannot be sent to {self.name!r}")
        if all(one.request in ledger for one in wanted.values()):
            self.collect(ledger, budget)
            return BatchOutcome(0, {}, ())
        with self._run(ledger, budget, wanted, progress) as run:
            return run.finish()

    def collect(self, ledger: ResponseLedger, budget: Budget) -> None:
        """Stores the answers of batches that have ended, of any run. Sends no request.

        A batch that cannot be collected now is left to a later run.
        """
        with BatchLog(self.store, self._folder) as log:
            if log.is_empty():
                return
        with self._run(ledger, budget, {}) as run:
            try:
                run.collect()
            except (TimeoutError, Unavailable, EndpointError) as error:
                logger.warning("earlier batches are not collected now: %s", error)

    @contextmanager
    def _run(
        self,
        ledger: ResponseLedger,
        budget: Budget,
        wanted: Mapping[str, BatchRequest],
        progress: Progress | None = None,
    ) -> Iterator[BatchRun]:
        with (
            BatchEndpoint(self.settings, self._max_retries) as endpoint,
            BatchLog(self.store, self._folder) as log,
        ):
            yield BatchRun(self.limits, endpoint, log, ledger, budget, wanted, progress or NoProgress())
