"""One request to a language model, through any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wavcaps_assets.captioning.ledger import Answer
from wavcaps_assets.captioning.prompts import Message
from wavcaps_assets.settings import ModelSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_HOST = "api.openai.com"


class EndpointError(RuntimeError):
    """No question can be answered: a setting is missing or wrong, or nobody listens."""


class AnswerError(RuntimeError):
    """This one question gets no answer; others may."""


class ChatModel:
    """A model at an endpoint. Open it as an asynchronous context manager in each event loop.

    Args:
        settings: where the model is.
        max_retries: how often the `openai` client repeats a request that failed for a passing reason
            (no connection, a time-out, 408, 409, 429, 5xx), waiting longer each time.

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
            raise EndpointError(f"no model is named for {settings.base_url}: set WAVCAPS_LLM__MODEL")
        if urlsplit(settings.base_url).hostname == OPENAI_HOST and not settings.api_key.get_secret_value():
            raise EndpointError(f"{OPENAI_HOST} needs a key: set WAVCAPS_LLM__API_KEY")
        self.settings = settings
        self.max_retries = max_retries
        self._client: AsyncOpenAI | None = None

    @property
    def name(self) -> str:
        return self.settings.model

    async def __aenter__(self) -> ChatModel:
        from openai import AsyncOpenAI

        self._client = AsyncOpenAI(
            base_url=self.settings.base_url,
            # The client insists on a key; servers of one's own do not look at it.
            api_key=self.settings.api_key.get_secret_value() or "none",
            timeout=self.settings.timeout_s,
            max_retries=self.max_retries,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def ask(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> Answer:
        """Asks once.

        Args:
            messages: the conversation.
            parameters: of the request, such as `temperature`.

        Raises:
            EndpointError: whatever is asked would fail in the same way.
            AnswerError: this question got no answer.
        """
        import openai

        if self._client is None:
            raise ValueError("the model is not open: use `async with model`")
        started = time.monotonic()
        try:
            completion = await self._client.chat.completions.create(
                model=self.name,
                messages=list(messages),  # type: ignore[arg-type]
                **parameters,
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise EndpointError(
                f"{self.settings.base_url} refuses the key ({error.status_code}): check WAVCAPS_LLM__API_KEY"
            ) from None
        except openai.NotFoundError as error:
            raise EndpointError(
                f"{self.settings.base_url} has no model {self.name!r} (404): "
                "check WAVCAPS_LLM__MODEL and the path in WAVCAPS_LLM__BASE_URL"
            ) from error
        except openai.RateLimitError as error:
            raise EndpointError(
                f"{self.settings.base_url} refuses after {self.max_retries} repeats (429): a rate limit "
                "or a spent quota. What it answered is kept; run again later, or with a lower `concurrency`"
            ) from error
        except openai.APITimeoutError as error:
            raise AnswerError(f"no answer within {self.settings.timeout_s:.0f} s") from error
        except openai.APIConnectionError as error:
            raise EndpointError(
                f"nobody answers at {self.settings.base_url}: set WAVCAPS_LLM__BASE_URL to an endpoint that "
                "runs; `make ui` and `make demo` start one"
            ) from error
        except openai.APIStatusError as error:
            raise AnswerError(f"the endpoint answered {error.status_code}") from error
        except (openai.OpenAIError, ValueError) as error:
            raise AnswerError(f"the endpoint's answer cannot be read: {type(error).__name__}") from error
        choice = completion.choices[0] if completion.choices else None
        return Answer(
            text=(choice.message.content or "") if choice else "",
            finish_reason=str(choice.finish_reason) if choice else "no_choice",
            prompt_tokens=completion.usage.prompt_tokens if completion.usage else None,
            completion_tokens=completion.usage.completion_tokens if completion.usage else None,
            seconds=round(time.monotonic() - started, 3),
        )
