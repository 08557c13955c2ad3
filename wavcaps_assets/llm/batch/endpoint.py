"""The calls of OpenAI's Batch API, and what their failures mean."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, TypeVar

from wavcaps_assets.llm.batch.lines import ENDPOINT, described_error
from wavcaps_assets.llm.chat import NO_CREDIT, TEMPORARY_STATUSES, EndpointError
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.errors import NotThere, Unavailable

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types import Batch

# The metadata field with our name of a batch, by which it is found again.
OUR_NAME = "wavcaps"
NO_BATCHES = (404, 405, 501)
PAGE = 100

T = TypeVar("T")


class Unreachable(Unavailable):
    """No server listens."""


class BatchEndpoint:
    """A connection to an endpoint with a Batch API.

    Every method raises `EndpointError` if it fails until a person does something, and `Unavailable` if a
    later call may succeed, after the client's own retries.

    Args:
        settings: where the model is.
        max_retries: retries of the `openai` client after a temporary fault.
    """

    def __init__(self, settings: ModelSettings, max_retries: int) -> None:
        from openai import OpenAI

        self.url = settings.base_url
        self.secret = settings.api_key.get_secret_value()
        self._client = OpenAI(
            base_url=settings.base_url,
            # The client requires a key; your own servers ignore it.
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

        Sent once: if no response comes, the batch may exist all the same.
        """
        without_retries = self._client.with_options(max_retries=0)
        batch = self._call(
            "create a batch",
            lambda: without_retries.batches.create(
                input_file_id=file_id,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={OUR_NAME: name},
            ),
        )
        self._identified(getattr(batch, "id", None))
        return batch

    def find(self, name: str, since: datetime) -> Batch | None:
        """The batch that was created under our name, in any state.

        Args:
            name: ours.
            since: a time before its creation; older batches are not searched.
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
        """A batch in its current state; None: the endpoint has no such batch."""
        try:
            batch = self._request(lambda: self._client.batches.retrieve(batch_id), "return a batch")
        except NotThere:
            return None
        self._identified(getattr(batch, "id", None))
        return batch

    def content(self, file_id: str) -> bytes | None:
        """A file's content; None: it does not exist any more."""
        try:
            return self._request(lambda: self._client.files.content(file_id).content, "return a file")
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
        # The causes are hidden: a transport's error may quote the request's headers.
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
        code, shown = described_error(error.body, self.secret)
        shown = f"{status} {shown}".rstrip()
        if status in (401, 403):
            # The message may quote a part of the key.
            raise EndpointError(
                f"{self.url} refuses the key ({status}): check WAVCAPS_LLM__API_KEY"
            ) from None
        if status in NO_BATCHES:
            raise NotThere(shown) from None
        if code in NO_CREDIT:
            raise EndpointError(f"{self.url} says that the account has no credit left ({shown})") from None
        if status == 429 or status >= 500 or status in TEMPORARY_STATUSES:
            raise Unavailable(f"{self.url} does not {what} now ({shown})") from None
        raise EndpointError(f"{self.url} refuses to {what} ({shown})") from None

    def _identified(self, given: object) -> str:
        if not isinstance(given, str) or not given:
            raise EndpointError(
                f"{self.url} answers, but not like a Batch API: choose the online provider, "
                "or check the path in WAVCAPS_LLM__BASE_URL"
            )
        return given
