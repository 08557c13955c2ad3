"""A real OpenAI-compatible server whose model answers by a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.servers import running
from wavcaps_assets.llm.session import Session
from wavcaps_assets.llm.settings import ModelSettings, RequestLimits
from wavcaps_assets.store.storage import Store

MODEL = "scripted"
KEY = "the-right-key"
# A file of prices: one USD a token in, two a token out.
PRICES = """
source = "this test"
read = 2026-11-01
[models.scripted]
input = 1000000
output = 2000000
"""
# Gets a request's body; gives the answer's text, an HTTP status to refuse with, or a whole response.
Script = Callable[[dict[str, Any]], str | int | Response]


def completion(content: Any, finish_reason: Any = "stop", prompt_tokens: int = 7, **message: Any) -> Response:
    """A chat completion of one choice, whose message holds what is given."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish_reason,
    }
    return JSONResponse(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": 5,
                "total_tokens": prompt_tokens + 5,
            },
        }
    )


@dataclass(frozen=True)
class Access:
    """A model, and how long to keep trying."""

    settings: ModelSettings
    max_retries: int = 4
    patience_s: float = 600.0

    def session(self, place: Path | Store, limits: RequestLimits | None = None, **more: Any) -> Session:
        """A session with this model, whose ledger is in a folder or in a store."""
        kept = replace(limits or RequestLimits(), max_retries=self.max_retries, patience_s=self.patience_s)
        store = Store(place) if isinstance(place, Path) else place
        return Session(self.settings, store, limits=kept, **more)


class Followed:
    """A `Progress` that keeps everything."""

    def __init__(self) -> None:
        self.done: list[tuple[int, int]] = []
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {}

    def update(self, done: int, total: int, note: str = "") -> None:
        self.done.append((done, total))
        self.notes.append(note)

    def record(self, facts: Mapping[str, str | int | float]) -> None:
        self.facts |= facts


@dataclass
class Endpoint:
    """A running server, and the requests it has had."""

    root: str
    requests: list[dict[str, Any]] = field(default_factory=list)

    def model(
        self, key: str = KEY, max_retries: int = 0, timeout_s: float = 60.0, patience_s: float = 60.0
    ) -> Access:
        settings = ModelSettings(
            base_url=f"{self.root}/v1", model=MODEL, api_key=SecretStr(key), timeout_s=timeout_s
        )
        return Access(settings, max_retries, patience_s)


@contextmanager
def scripted(script: Script, in_threads: bool = False) -> Iterator[Endpoint]:
    """Serves the script on a free port; any key but `KEY` is refused.

    Args:
        in_threads: the script may take its time.
    """
    had: list[dict[str, Any]] = []

    async def complete(request: Request) -> Response:
        body = json.loads(await request.body())
        had.append(body)
        if request.headers["authorization"] != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": "Incorrect API key"}}, 401)
        answer = await run_in_threadpool(script, body) if in_threads else script(body)
        if isinstance(answer, int):
            return JSONResponse({"error": {"message": "scripted"}}, answer)
        return answer if isinstance(answer, Response) else completion(answer)

    with running(Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])) as root:
        yield Endpoint(root, had)


def asked(body: dict[str, Any]) -> str:
    """What a request asks, after its prompt; a text by itself without its quotation marks."""
    put = str(body["messages"][-1]["content"])
    return str(json.loads(put)) if put.startswith('"') else put
