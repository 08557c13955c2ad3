"""Sends one request to a language model, at any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.parameters import families
from wavcaps_assets.llm.records import Answer
from wavcaps_assets.llm.replies import (
    FILTERED,
    MAX_BODY_BYTES,
    NoCompletion,
    error_in,
    parameter_in,
    read_completion,
)
from wavcaps_assets.llm.settings import ModelSettings

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

OPENAI_HOST = "api.openai.com"
# Statuses of an endpoint that is overloaded; 529 is Anthropic's.
BUSY_STATUSES = (429, 503, 529)
TEMPORARY_STATUSES = (408, 409, 425)
# A request with one of these statuses is refused for what it contains.
ABOUT_REQUEST = (400, 413, 422)
# Codes of a filter that refuses a text: Azure's, OpenAI's, and Azure's inner one.
FILTER_CODES = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


class EndpointError(RuntimeError):
    """No request can be answered: a setting is missing or wrong, or no server listens."""


class AnswerError(RuntimeError):
    """This request gets no answer; others may.

    Attributes:
        charged: whether the endpoint may have answered, and charged for it.
        answer: what it sent instead, with its token counts; None: nothing.
        about_request: whether this request is refused for what it contains.
    """

    def __init__(
        self, message: str, charged: bool, answer: Answer | None = None, about_request: bool = False
    ) -> None:
        super().__init__(message)
        self.charged = charged
        self.answer = answer
        self.about_request = about_request


@dataclass
class BusyError(RuntimeError):
    """The endpoint accepts no more for now; `headers` may say for how long."""

    reason: str
    headers: Mapping[str, str]


@dataclass
class TemporaryError(RuntimeError):
    """A fault that a retry may not meet again. `outcome` is the error to raise when no retry is left."""

    outcome: EndpointError | AnswerError

    @property
    def charged(self) -> bool:
        return isinstance(self.outcome, AnswerError) and self.outcome.charged

    @property
    def answer(self) -> Answer | None:
        return self.outcome.answer if isinstance(self.outcome, AnswerError) else None


@dataclass(frozen=True)
class Reply:
    """An answer and the headers of its response."""

    answer: Answer
    headers: Mapping[str, str] = field(default_factory=dict)


class ChatModel:
    """A model at an endpoint. Open it as an asynchronous context manager in each event loop.

    Args:
        settings: where the model is.
        max_retries: how often the caller may retry a request after a `TemporaryError`.

    Raises:
        EndpointError: a setting is missing, so that no request can succeed.
    """

    def __init__(self, settings: ModelSettings, max_retries: int = 4) -> None:
        if not settings.base_url:
            raise EndpointError(
                "no language model is set: set WAVCAPS_LLM__BASE_URL, WAVCAPS_LLM__MODEL and, "
                "where it needs one, WAVCAPS_LLM__API_KEY"
            )
        if not settings.model:
            raise EndpointError(f"no model is set for {settings.base_url}: set WAVCAPS_LLM__MODEL")
        if urlsplit(settings.base_url).hostname == OPENAI_HOST and not settings.api_key.get_secret_value():
            raise EndpointError(
                f"{OPENAI_HOST} needs a key: set WAVCAPS_LLM__API_KEY. Without a key: "
                "WAVCAPS_LLM__BASE_URL=embedded, the small model on this machine"
            )
        self.settings = settings
        self.max_retries = max_retries
        self._client: AsyncOpenAI | None = None

    @property
    def name(self) -> str:
        return self.settings.model

    async def __aenter__(self) -> ChatModel:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self._client = AsyncOpenAI(
            base_url=self.settings.base_url,
            # The client requires a key; your own servers ignore it.
            api_key=self.settings.api_key.get_secret_value() or "none",
            timeout=self.settings.timeout_s,
            # The caller retries: a retry must keep the limits that all requests share.
            max_retries=0,
            # Needs half the time of the client's own transport.
            http_client=DefaultAioHttpClient(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def send(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> Reply:
        """Sends once.

        Args:
            messages: the conversation.
            parameters: sampling parameters, such as `temperature`.

        Raises:
            EndpointError: every request would fail in the same way.
            AnswerError: this request got no answer.
            BusyError: the endpoint accepts no more for now.
            TemporaryError: a retry may succeed.
        """
        import aiohttp
        import httpx2
        import openai

        if self._client is None:
            raise ValueError("the model is not open: use `async with model`")
        body = {"model": self.name, "messages": list(messages), **parameters}
        started = time.monotonic()
        try:
            # The client's own time-out is for each read: a slow stream would never end.
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
            # The causes are hidden: a transport's error may quote the request's headers.
            raise self._no_connection(error) from None
        except openai.APIStatusError as error:
            if _is_filtered(error.body):
                # This text's result, for good: the filter will refuse it again.
                seconds = round(time.monotonic() - started, 3)
                return Reply(Answer("", FILTERED, 0, 0, seconds), error.response.headers)
            raise self._refused(error.status_code, error.body, error.response.headers, parameters) from None
        except (openai.OpenAIError, ValueError) as error:
            message = f"the endpoint's answer cannot be read: {type(error).__name__}"
            raise AnswerError(message, charged=True) from None
        try:
            return Reply(read_completion(content, time.monotonic() - started), response.headers)
        except NoCompletion as none:
            if _is_filtered(none.error):
                return Reply(replace(none.answer, text="", finish_reason=FILTERED), response.headers)
            raise self._no_completion(none, response.headers, parameters) from None

    def _no_connection(self, error: BaseException) -> TemporaryError | AnswerError:
        import aiohttp
        import httpx2

        # The transport reports most faults as a time-out; the first cause is the real one.
        while error.__cause__ is not None and not isinstance(error, aiohttp.ClientError | TimeoutError):
            error = error.__cause__
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            return AnswerError(f"no answer within {self.settings.timeout_s:g} s", charged=True)
        url = self.settings.base_url
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            return TemporaryError(
                EndpointError(
                    f"the certificate of {url} is not trusted: set SSL_CERT_FILE to a file with the "
                    "certificate of its authority, or check WAVCAPS_LLM__BASE_URL"
                )
            )
        not_connected = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.InvalidURL)
        # The request reached a server if the connection broke later.
        reached = isinstance(error, aiohttp.ClientError | httpx2.DecodingError) and not isinstance(
            error, not_connected
        )
        if reached:
            message = f"the endpoint's answer breaks off ({type(error).__name__})"
            return TemporaryError(AnswerError(message, charged=True))
        return TemporaryError(
            EndpointError(
                f"nobody answers at {url}: set WAVCAPS_LLM__BASE_URL to an endpoint that "
                "runs; `make ui` and `make demo` start one"
            )
        )

    def _no_completion(
        self, none: NoCompletion, headers: Mapping[str, str], parameters: Mapping[str, Any]
    ) -> Exception:
        """What a response with status 200 that holds no answer means."""
        if none.error is None:
            return AnswerError(none.reason, charged=True, answer=none.answer)
        status = none.error.get("code")
        # LiteLLM's proxy writes statuses as text.
        if isinstance(status, str) and re.fullmatch("[45][0-9]{2}", status):
            status = int(status)
        if isinstance(status, int) and 400 <= status < 600:
            return self._refused(status, none.error, headers, parameters)
        code, message = error_in(none.error, self.settings.api_key.get_secret_value())
        reason = ": ".join(part for part in (none.reason, code, message) if part)
        charged = bool(none.answer.completion_tokens)
        return TemporaryError(AnswerError(reason, charged, none.answer))

    def _refused(
        self, status: int, body: object, headers: Mapping[str, str], parameters: Mapping[str, Any]
    ) -> Exception:
        url = self.settings.base_url
        code, message = error_in(body, self.settings.api_key.get_secret_value())
        if status in (401, 403):
            return EndpointError(f"{url} refuses the key ({status}): check WAVCAPS_LLM__API_KEY")
        if status == 404:
            return EndpointError(
                f"{url} has no model {self.name!r} (404): "
                "check WAVCAPS_LLM__MODEL and the path in WAVCAPS_LLM__BASE_URL"
            )
        if status == 402 or code in NO_CREDIT:
            return EndpointError(
                f"{url} requires payment ({status} {code}): the quota of this key is used up. "
                "Its answers are kept; add credit, then run again"
            )
        about_request = status in ABOUT_REQUEST
        if about_request and (parameter := parameter_in(body, parameters)):
            return EndpointError(
                f"{url} refuses the parameter {parameter!r} for the model {self.name!r} ({status}): "
                f"{message}. Set WAVCAPS_LLM__FAMILY to its family ({', '.join(families())}), or leave "
                f"the parameter out: WAVCAPS_LLM__PARAMETERS='{{\"{parameter}\": null}}'"
            )
        shown = f"the endpoint answered {status}" + (f": {message}" if message else "")
        if status == 429 and "too large" in message.lower():
            return AnswerError(shown, charged=False, about_request=True)
        if status in BUSY_STATUSES:
            return BusyError(shown, headers)
        # A gateway may fail or time out after the model has answered.
        outcome = AnswerError(shown, status >= 500 or status == 408, about_request=about_request)
        return TemporaryError(outcome) if status in TEMPORARY_STATUSES or status >= 500 else outcome


def _is_filtered(body: object) -> bool:
    """Whether an error is a filter's, which refuses a text for what it says."""
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return False
    inner = error.get("innererror")
    codes = (error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None)
    return any(code in FILTER_CODES for code in codes)


async def _read(response: httpx2.Response) -> bytes:
    """The body. Of a body that is too long, a little more than the limit."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
    finally:
        await response.aclose()
    return bytes(body)
