"""Questions asked through OpenAI's Batch API: half the price, within a day, in any order.

Limits, states and files are those of https://developers.openai.com/api/docs/guides/batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from wavcaps_assets.llm.batch.endpoint import BatchEndpoint
from wavcaps_assets.llm.batch.lines import BatchRequest
from wavcaps_assets.llm.batch.log import BatchLog
from wavcaps_assets.llm.batch.run import BatchOutcome, BatchRun, Progress
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.chat import ChatModel
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.store.storage import Store

__all__ = ["BatchModel", "BatchOutcome", "BatchRequest", "BatchSettings"]


class BatchModel:
    """A model that is asked through batches.

    Args:
        settings: where the model is.
        store: of the log.
        folder: of the log, in the store.
        limits: on batches and on waiting.
        max_retries: how often the `openai` client repeats a request that failed for a passing reason.

    Raises:
        EndpointError: a setting is missing, so that no request can succeed.
    """

    def __init__(
        self,
        settings: ModelSettings,
        store: Store,
        folder: str = "log/batches",
        limits: BatchSettings | None = None,
        max_retries: int = 4,
    ) -> None:
        ChatModel(settings)
        self.settings = settings
        self.limits = limits or BatchSettings()
        self._store = store
        self._folder = folder
        self._max_retries = max_retries

    @property
    def name(self) -> str:
        return self.settings.model

    def answer_all(
        self, requests: Sequence[BatchRequest], ledger: ResponseLedger, progress: Progress | None = None
    ) -> BatchOutcome:
        """Asks what the ledger does not answer, and puts every answer into it.

        Args:
            requests: in any order; the same question may come twice.
            progress: told after each look at the batches.

        Raises:
            Paused: the batches take longer than a run waits, or the endpoint cannot answer now. Called
                again, it goes on from there.
            EndpointError: no question can be answered, or the endpoint has no Batch API.
            StoreError: the log or the ledger cannot be read or written.
        """
        wanted = {request.question.key: request for request in requests}
        strange = {request.question.model for request in wanted.values()} - {self.name}
        if strange:
            raise ValueError(f"questions for {sorted(strange)} cannot be put to {self.name!r}")
        if all(request.question in ledger for request in wanted.values()):
            return BatchOutcome(0, {}, ())
        with (
            BatchEndpoint(self.settings, self._max_retries) as endpoint,
            BatchLog(self._store, self._folder) as log,
        ):
            return BatchRun(self.limits, endpoint, log, ledger, wanted, progress).finish()
