"""The sites of a night: the demo's sources, whose clips come and go, and a language model that counts."""

from __future__ import annotations

import ast
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.llm.scripted_model import Endpoint, completion, scripted
from tests.support.servers import running
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import create_app

# One USD a token in, two a token out. The server counts this many tokens in, and 5 out.
TOKENS_IN = 2000
PAID_USD = TOKENS_IN + 2 * 5
# The sentence of a changed prompt, and how the model follows it.
CHANGED = "Begin with “There is”."
PLACES = (
    "by a lake",
    "in a hall",
    "near a wall",
    "in a garden",
    "on a farm",
    "in a forest",
    "at sea",
    "indoors",
)
# Requests for sounds, not for pages about them.
SOUND = re.compile(r"/(freesound/data/previews/|bbc-media/|soundbible/grab|audioset/clips/.+)")


@dataclass
class Sites:
    """The demo's server with clips that can be exchanged.

    Attributes:
        sounds: how often each sound was sent, by its path.
        times: of all requests but the BBC's, which has a host of its own, by a clock that nobody sets (s).
        broken: requests for a path and query with this get an answer that says nothing.
    """

    url: str = ""
    sounds: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    broken: re.Pattern[str] | None = None
    _app: ASGIApp | None = None

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def most_in(self, seconds: float) -> int:
        """The most requests in any span of this length."""
        first = most = 0
        for last, at in enumerate(self.times):
            while self.times[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def show(self, corpus: Corpus) -> None:
        self._app = create_app(corpus)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (200, 206):
                query = scope["query_string"].decode()
                self.sounds[f"{scope['path']}?{query}" if query else scope["path"]] += 1
            await send(message)

        if scope["type"] == "http" and not scope["path"].startswith("/bbc"):
            self.times.append(time.monotonic())
        asked = f"{scope.get('path')}?{scope.get('query_string', b'').decode()}"
        if self.broken is not None and self.broken.search(unquote(asked)):
            useless = {"count": 30, "next": None, "previous": None, "results": [{"id": "?"}] * 30}
            await JSONResponse(useless)(scope, receive, send)
            return
        of_sound = scope["type"] == "http" and scope["method"] == "GET" and SOUND.match(scope["path"])
        await self._app(scope, receive, counted if of_sound else send)


@contextmanager
def serving_sites(corpus: Corpus) -> Iterator[Sites]:
    sites = Sites()
    sites.show(corpus)
    with running(sites) as url:
        sites.url = url
        yield sites


@dataclass
class Model:
    """A language model whose answers are counted.

    Attributes:
        asked: how often each text was sent, with whether the changed prompt was.
    """

    endpoint: Endpoint
    asked: Counter[tuple[str, bool]]

    @property
    def paid_usd(self) -> float:
        return len(self.endpoint.requests) * PAID_USD


@contextmanager
def serving_model() -> Iterator[Model]:
    asked: Counter[tuple[str, bool]] = Counter()

    def script(body: dict[str, Any]) -> Response:
        messages = [str(message["content"]) for message in body["messages"]]
        changed = any(CHANGED in message for message in messages)
        texts = [_text(line) for line in messages[-1].splitlines()]
        asked.update((text, changed) for text in texts)
        said = "\n".join(f"{number}. {caption(text, changed)}" for number, text in enumerate(texts, 1))
        return completion(said, prompt_tokens=TOKENS_IN)

    with scripted(script) as endpoint:
        yield Model(endpoint, asked)


def _text(line: str) -> str:
    put = line.partition(". ")[2]
    return str(json.loads(put)) if put.startswith('"') else put


def caption(text: str, changed: bool) -> str:
    """A sentence about a sound, as `Low alarm beeping. 1.5 seconds.`, or about a scene's events."""
    begin = "There is" if changed else "Someone plays"
    if text.startswith("["):
        return f"{begin} a {' and a '.join(event.lower() for event in ast.literal_eval(text))}."
    what, _, length = text.lower().replace("clicks", "series of clicks").partition(".")
    # Sounds of one kind differ in their length.
    place = PLACES[round(float(length.split()[0]) * 4) % len(PLACES)]
    first, verb = re.split(r" (?=\w+ing\b)", what, maxsplit=1)
    return f"{begin} a {what} {place}." if changed else f"A {first} is {verb} {place}."
