"""One request to a language model, through any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wavcaps_assets.llm.ledger import Answer
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.replies import MAX_BODY_BYTES, error_in, read_completion
from wavcaps_assets.llm.settings import ModelSettings

if TYPE_CHECKING:
    import httpx2
    from openai import APIStatusError, AsyncOpenAI

OPENAI_HOST = "api.openai.com"
# An endpoint that has too much to do says so with one of these; 529 is Anthropic's.
BUSY_STATUSES = (429, 503, 529)
PASSING_STATUSES = (408, 409, 425)
SPENT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


class EndpointError(RuntimeError):
    """No question can be answered: a setting is missing or wrong, or nobody listens."""


class AnswerError(RuntimeError):
    """This one question gets no answer; others may.

    Attributes:
        heard: whether the endpoint may have answered all the same, and be paid for it.
    """

    def __init__(self, message: str, heard: bool) -> None:
        super().__init__(message)
        self.heard = heard


@dataclass
class BusyError(RuntimeError):
    """The endpoint takes no more for now; `headers` may say for how long."""

    reason: str
    headers: Mapping[str, str]


@dataclass
class PassingError(RuntimeError):
    """A fault that may not come again; `outcome` is what it amounts to if it does."""

    outcome: EndpointError | AnswerError

    @property
    def heard(self) -> bool:
        return isinstance(self.outcome, AnswerError) and self.outcome.heard


@dataclass(frozen=True)
class Reply:
    """An answer, and the headers that came with it."""

    answer: Answer
    headers: Mapping[str, str] = field(default_factory=dict)


class ChatModel:
    """A model at an endpoint. Open it as an asynchronous context manager in each event loop.

    Args:
        settings: where the model is.
        max_retries: how often a request that failed for a passing reason (no connection, a broken
            answer, 408, 409, 425, 5xx) is repeated by whoever asks, waiting longer each time.
        patience_s: how long an endpoint that answers nothing may refuse (429, 503, 529) before it is
            given up (s).

    Raises:
        EndpointError: a setting is missing, so that no request can succeed.
    """

    def __init__(self, settings: ModelSettings, max_retries: int = 4, patience_s: float = 600.0) -> None:
        if not settings.base_url:
            raise EndpointError(
                "no language model is set: set WAVCAPS_LLM__BASE_URL, WAVCAPS_LLM__MODEL and, "
                "where it needs one, WAVCAPS_LLM__API_KEY"
            )
        if "@" in urlsplit(settings.base_url).netloc:
            # It would stand in every error, and the key goes where it would.
            raise EndpointError(
                "WAVCAPS_LLM__BASE_URL holds a user name or a password, which is not sent: "
                "name a key by WAVCAPS_LLM__API_KEY"
            )
        if not settings.model:
            raise EndpointError(f"no model is named for {settings.base_url}: set WAVCAPS_LLM__MODEL")
        if urlsplit(settings.base_url).hostname == OPENAI_HOST and not settings.api_key.get_secret_value():
            raise EndpointError(f"{OPENAI_HOST} needs a key: set WAVCAPS_LLM__API_KEY")
        self.settings = settings
        self.max_retries = max_retries
        self.patience_s = patience_s
        self._client: AsyncOpenAI | None = None

    @property
    def name(self) -> str:
        return self.settings.model

    async def __aenter__(self) -> ChatModel:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self._client = AsyncOpenAI(
            base_url=self.settings.base_url,
            # The client insists on a key; servers of one's own do not look at it.
            api_key=self.settings.api_key.get_secret_value() or "none",
            timeout=self.settings.timeout_s,
            # Whoever asks decides: a repeat must keep to the limits that hold for all requests.
            max_retries=0,
            # Takes half of the time that the client's own transport does.
            http_client=DefaultAioHttpClient(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def ask(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> Reply:
        """Asks once.

        Args:
            messages: the conversation.
            parameters: of the request, such as `temperature`.

        Raises:
            EndpointError: whatever is asked would fail in the same way.
            AnswerError: this question got no answer.
            BusyError: the endpoint takes no more for now.
            PassingError: the same question may be answered if it is asked again.
        """
        import aiohttp
        import httpx2
        import openai

        if self._client is None:
            raise ValueError("the model is not open: use `async with model`")
        body = {"model": self.name, "messages": list(messages), **parameters}
        started = time.monotonic()
        try:
            # The client's own limit is on each read: a trickle would never end.
            async with asyncio.timeout(self.settings.timeout_s):
                streamed: Any = await self._client.post(
                    "/chat/completions",
                    body=body,
                    cast_to=httpx2.Response,
                    stream=True,
                    stream_cls=openai.AsyncStream[Any],
                )
                response: httpx2.Response = streamed
                content = await _read(response)
        except (openai.APIConnectionError, httpx2.RequestError, aiohttp.ClientError, TimeoutError) as error:
            # None of these is shown with its cause: a transport's error may quote the request's headers.
            raise self._no_connection(error) from None
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except (openai.OpenAIError, ValueError) as error:
            message = f"the endpoint's answer cannot be read: {type(error).__name__}"
            raise AnswerError(message, heard=True) from None
        return Reply(read_completion(content, time.monotonic() - started), response.headers)

    def _no_connection(self, error: BaseException) -> PassingError | AnswerError:
        import aiohttp
        import httpx2

        # The transport calls most of what goes wrong a time-out; the first cause says what it was.
        while error.__cause__ is not None and not isinstance(error, aiohttp.ClientError | TimeoutError):
            error = error.__cause__
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            return AnswerError(f"no answer within {self.settings.timeout_s:g} s", heard=True)
        url = self.settings.base_url
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            return PassingError(
                EndpointError(
                    f"the certificate of {url} is not trusted: name a file with that of its authority by "
                    "SSL_CERT_FILE, or check WAVCAPS_LLM__BASE_URL"
                )
            )
        nobody = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.InvalidURL)
        # What broke off after it began was heard by somebody.
        heard = isinstance(error, aiohttp.ClientError | httpx2.DecodingError) and not isinstance(
            error, nobody
        )
        if heard:
            message = f"the endpoint's answer breaks off ({type(error).__name__})"
            return PassingError(AnswerError(message, heard=True))
        return PassingError(
            EndpointError(
                f"nobody answers at {url}: set WAVCAPS_LLM__BASE_URL to an endpoint that "
                "runs; `make ui` and `make demo` start one"
            )
        )

    def _refused(self, error: APIStatusError) -> Exception:
        status, url = error.status_code, self.settings.base_url
        code, message = error_in(error.body, self.settings.api_key.get_secret_value())
        if status in (401, 403):
            return EndpointError(f"{url} refuses the key ({status}): check WAVCAPS_LLM__API_KEY")
        if status == 404:
            return EndpointError(
                f"{url} has no model {self.name!r} (404): "
                "check WAVCAPS_LLM__MODEL and the path in WAVCAPS_LLM__BASE_URL"
            )
        if status == 402 or code in SPENT:
            return EndpointError(
                f"{url} wants to be paid first ({status} {code}): the quota of this key is spent. "
                "What it answered is kept; add credit, then run again"
            )
        said = f"the endpoint answered {status}" + (f": {message}" if message else "")
        if status == 429 and "too large" in message.lower():
            return AnswerError(said, heard=False)
        if status in BUSY_STATUSES:
            return BusyError(said, error.response.headers)
        # A fault or a time-out of a gateway may come after the model has answered.
        outcome = AnswerError(said, heard=status >= 500 or status == 408)
        return PassingError(outcome) if status in PASSING_STATUSES or status >= 500 else outcome


async def _read(response: httpx2.Response) -> bytes:
    """The body; of one that is too long, enough to see that."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
    finally:
        await response.aclose()
    return bytes(body)
