"""The requests of OpenAI's Batch API, and what their failures mean."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, TypeVar

from wavcaps_assets.llm.batch.lines import ENDPOINT, told_error
from wavcaps_assets.llm.chat import PASSING_STATUSES, SPENT, EndpointError
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.errors import NotThere, Unavailable

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types import Batch

# In a batch's metadata: our own name for it, by which it is found again.
OUR_NAME = "wavcaps"
NO_BATCHES = (404, 405, 501)
PAGE = 100

T = TypeVar("T")


class Unreachable(Unavailable):
    """Nobody listens."""


class BatchEndpoint:
    """A connection to an endpoint with a Batch API.

    Every method raises `EndpointError` where it will fail again until a person does something, and
    `Unavailable` where it need not, after the client's own repeats.

    Args:
        settings: where the model is.
        max_retries: how often the `openai` client repeats a request that failed for a passing reason,
            waiting longer each time.
    """

    def __init__(self, settings: ModelSettings, max_retries: int) -> None:
        from openai import OpenAI

        self.url = settings.base_url
        self.secret = settings.api_key.get_secret_value()
        self._client = OpenAI(
            base_url=settings.base_url,
            # The client insists on a key; servers of one's own do not look at it.
            api_key=self.secret or "none",
            timeout=settings.timeout_s,
            max_retries=max_retries,
        )

    def __enter__(self) -> BatchEndpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def upload(self, name: str, data: bytes) -> str:
        """Uploads an input file. Returns its id."""
        file = (name, data, "application/jsonl")
        uploaded = self._call(
            "upload a batch's requests", lambda: self._client.files.create(file=file, purpose="batch")
        )
        return self._identified(getattr(uploaded, "id", None))

    def create(self, file_id: str, name: str) -> Batch:
        """Submits an uploaded file.

        Asked once: where no answer comes, the batch may have been created all the same.
        """
        asking_once = self._client.with_options(max_retries=0)
        batch = self._call(
            "create a batch",
            lambda: asking_once.batches.create(
                input_file_id=file_id,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={OUR_NAME: name},
            ),
        )
        self._identified(getattr(batch, "id", None))
        return batch

    def find(self, name: str, since: datetime) -> Batch | None:
        """The batch that was created under our name, be it in whatever state.

        Args:
            name: ours.
            since: a time before its creation; older ones are not looked through.
        """

        def look() -> Batch | None:
            # Newest first.
            for batch in self._client.batches.list(limit=PAGE):
                if (batch.metadata or {}).get(OUR_NAME) == name:
                    return batch
                if batch.created_at < since.timestamp():
                    break
            return None

        return self._call("list the batches", look)

    def retrieve(self, batch_id: str) -> Batch | None:
        """A batch as it stands; None: the endpoint knows none of this id."""
        try:
            batch = self._request(lambda: self._client.batches.retrieve(batch_id), "tell about a batch")
        except NotThere:
            return None
        self._identified(getattr(batch, "id", None))
        return batch

    def content(self, file_id: str) -> bytes | None:
        """A file's content; None: it is gone."""
        try:
            return self._request(lambda: self._client.files.content(file_id).content, "give a file")
        except NotThere:
            return None

    def _call(self, what: str, send: Callable[[], T]) -> T:
        try:
            return self._request(send, what)
        except NotThere as error:
            raise EndpointError(
                f"{self.url} has no Batch API ({error}): choose the online provider, "
                "or check the path in WAVCAPS_LLM__BASE_URL"
            ) from None

    def _request(self, send: Callable[[], T], what: str) -> T:
        import openai

        try:
            return send()
        # None of these is shown with its cause: a transport's error may quote the request's headers.
        except openai.APITimeoutError:
            raise Unavailable(f"{self.url} does not {what} in time") from None
        except openai.APIConnectionError:
            raise Unreachable(f"nobody answers at {self.url}") from None
        except openai.APIStatusError as error:
            self._refused(error, what)
        except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
            raise EndpointError(
                f"{self.url} was asked to {what}, and its answer cannot be read ({type(error).__name__}): "
                "check the path in WAVCAPS_LLM__BASE_URL"
            ) from None

    def _refused(self, error: APIStatusError, what: str) -> NoReturn:
        status = error.status_code
        code, told = told_error(error.body, self.secret)
        told = f"{status} {told}".rstrip()
        if status in (401, 403):
            # Its message may quote a part of the key.
            raise EndpointError(
                f"{self.url} refuses the key ({status}): check WAVCAPS_LLM__API_KEY"
            ) from None
        if status in NO_BATCHES:
            raise NotThere(told) from None
        if code in SPENT:
            raise EndpointError(f"{self.url} says that the account's money is spent ({told})") from None
        if status == 429 or status >= 500 or status in PASSING_STATUSES:
            raise Unavailable(f"{self.url} does not {what} now ({told})") from None
        raise EndpointError(f"{self.url} refuses to {what} ({told})") from None

    def _identified(self, given: object) -> str:
        if not isinstance(given, str) or not given:
            raise EndpointError(
                f"{self.url} answers, but not as a Batch API does: choose the online provider, "
                "or check the path in WAVCAPS_LLM__BASE_URL"
            )
        return given
