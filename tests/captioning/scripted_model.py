"""A real OpenAI-compatible server whose model answers by a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.servers import running
from wavcaps_assets.captioning.chat import ChatModel
from wavcaps_assets.settings import ModelSettings

MODEL = "scripted"
KEY = "the-right-key"
# Gets a request's body; gives the answer's text, or an HTTP status to refuse with.
Script = Callable[[dict[str, Any]], str | int]


@dataclass
class Endpoint:
    """A running server, and the requests it has had."""

    root: str
    requests: list[dict[str, Any]] = field(default_factory=list)

    def model(self, key: str = KEY, max_retries: int = 0) -> ChatModel:
        settings = ModelSettings(base_url=f"{self.root}/v1", model=MODEL, api_key=key)
        return ChatModel(settings, max_retries=max_retries)


@contextmanager
def scripted(script: Script) -> Iterator[Endpoint]:
    """Serves the script on a free port; any key but `KEY` is refused."""
    had: list[dict[str, Any]] = []

    async def complete(request: Request) -> Response:
        body = json.loads(await request.body())
        had.append(body)
        if request.headers["authorization"] != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": "Incorrect API key"}}, 401)
        answer = script(body)
        if isinstance(answer, int):
            return JSONResponse({"error": {"message": "scripted"}}, answer)
        message = {"role": "assistant", "content": answer}
        return JSONResponse(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": MODEL,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
            }
        )

    with running(Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])) as root:
        yield Endpoint(root, had)


def asked(body: dict[str, Any]) -> str:
    """What a request asks, after its prompt."""
    return str(body["messages"][-1]["content"])
