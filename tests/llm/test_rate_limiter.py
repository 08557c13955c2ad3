"""Limits that an endpoint reports, or a user sets: nothing is sent that would be refused."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.captioning.test_engine import SINGLE, clips, run
from tests.llm.scripted_model import MODEL, Access, completion
from tests.support.servers import running
from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm import rate_limiter
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.rate_limit_headers import Permit, duration_s, reported, retry_after_s
from wavcaps_assets.llm.settings import ModelSettings, RequestLimits

pytestmark = pytest.mark.alone

# A minute in these tests (s).
MINUTE_S = 1.0
TEXTS = [
    f"{size} {animal} {verb}"
    for size in ("old", "young")
    for animal in ("dog", "cat", "cow", "pig")
    for verb in ("calls", "sings", "runs", "eats", "sleeps", "moves")
]


@dataclass
class Limited:
    """An endpoint that allows so much in any minute, counted when a request arrives.

    Attributes:
        requests: how many.
        tokens: how many, counted as the words of the question and the longest answer.
        headers: whether it reports them.
        latency_s: how long an answer takes (s).
        at_once: how many requests it works on at the same time.
    """

    requests: float = math.inf
    tokens: float = math.inf
    headers: bool = True
    latency_s: float = 0.02
    at_once: float = math.inf
    arrived: list[float] = field(default_factory=list)
    refused: int = 0
    under_way: int = 0
    most_under_way: int = 0
    _took: list[tuple[float, int]] = field(default_factory=list)

    async def __call__(self, request: Request) -> Response:
        body = json.loads(await request.body())
        now = time.monotonic()
        self.arrived.append(now)
        words = sum(len(message["content"].split()) for message in body["messages"])
        cost = words + body["max_tokens"]
        self._took = [(at, took) for at, took in self._took if at > now - MINUTE_S]
        full = len(self._took) + 1 > self.requests or sum(took for _, took in self._took) + cost > self.tokens
        if full or self.under_way >= self.at_once:
            self.refused += 1
            return JSONResponse(
                {"error": {"message": "slower"}}, 429 if full else 503, headers=self._report(now)
            )
        self._took.append((now, cost))
        headers = self._report(now)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self.latency_s)
        self.under_way -= 1
        answer = completion("A dog is barking.", prompt_tokens=words)
        answer.headers.update(headers)
        return answer

    def _report(self, now: float) -> dict[str, str]:
        if not self.headers:
            return {}
        oldest = min((at for at, _ in self._took), default=now)
        reset = f"{math.ceil((oldest + MINUTE_S - now) * 1000)}ms"
        found = {}
        for kind, limit, used in (
            ("requests", self.requests, len(self._took)),
            ("tokens", self.tokens, sum(took for _, took in self._took)),
        ):
            if not math.isinf(limit):
                found[f"x-ratelimit-limit-{kind}"] = str(int(limit))
                found[f"x-ratelimit-remaining-{kind}"] = str(int(limit - used))
                found[f"x-ratelimit-reset-{kind}"] = reset
        return found


@contextmanager
def serving(limited: Callable[[Request], Any]) -> Iterator[Access]:
    async def complete(request: Request) -> Response:
        found: Response = await limited(request)
        return found

    with running(Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])) as root:
        settings = ModelSettings(base_url=f"{root}/v1", model=MODEL, api_key=SecretStr("any"))
        yield Access(settings, patience_s=20)


@pytest.fixture(autouse=True)
def short_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiter, "MINUTE_S", MINUTE_S)


def most_in_a_minute(times: list[float]) -> int:
    return max(sum(start <= at < start + MINUTE_S for at in times) for start in times)


@pytest.mark.parametrize(
    ("limited", "by_hand"),
    [
        (Limited(requests=16), {}),
        (Limited(requests=16, headers=False), {"requests_per_minute": 16}),
        (Limited(requests=40), {"requests_per_minute": 16}),
        (Limited(tokens=5000), {}),
        (Limited(tokens=5000, headers=False), {"tokens_per_minute": 5000}),
    ],
    ids=["reported", "by hand", "the lower of both", "tokens reported", "tokens by hand"],
)
def test_nothing_goes_out_that_would_be_refused(
    limited: Limited, by_hand: dict[str, int], tmp_path: Path
) -> None:
    with serving(limited) as model:
        stage = run(clips(*TEXTS), SINGLE.model_copy(update=by_hand), model, tmp_path)
    assert stage.kept.num_rows == len(TEXTS) == len(limited.arrived)
    assert limited.refused == 0
    if not math.isinf(limited.requests):
        assert 12 <= most_in_a_minute(limited.arrived) <= 16


def test_a_storm_of_refusals_is_sat_out(tmp_path: Path) -> None:
    calm_at: list[float] = []

    limited = Limited()

    async def storm(request: Request) -> Response:
        now = time.monotonic()
        calm_at.append(calm_at[0] if calm_at else now + 2.0)
        if now < calm_at[0]:
            limited.arrived.append(now)
            return JSONResponse({}, 429)
        return await limited(request)

    with serving(storm) as model:
        stage = run(clips(*TEXTS), SINGLE, model, tmp_path)
    assert stage.kept.num_rows == len(TEXTS)
    # Two seconds of nothing but refusals, and each was waited out by all.
    assert 2 <= len(limited.arrived) - len(TEXTS) <= 8


def test_a_refusal_holds_for_all_as_long_as_it_says(tmp_path: Path) -> None:
    limited = Limited()
    refused_at: list[float] = []

    async def once(request: Request) -> Response:
        if len(limited.arrived) >= 20 and not refused_at:
            refused_at.append(time.monotonic())
            return JSONResponse({}, 429, headers={"Retry-After": "1"})
        return await limited(request)

    with serving(once) as model:
        stage = run(clips(*TEXTS), SINGLE, model, tmp_path)
    assert stage.kept.num_rows == len(TEXTS)
    # What was on its way when the refusal was written still arrives.
    during = [at for at in limited.arrived if refused_at[0] + 0.3 < at < refused_at[0] + 1]
    assert during == []


def test_an_overloaded_endpoint_gets_fewer_requests_at_a_time(tmp_path: Path) -> None:
    limited = Limited(at_once=6, headers=False, latency_s=0.05)
    with serving(limited) as model:
        stage = run(clips(*TEXTS), SINGLE, model, tmp_path)
    assert stage.kept.num_rows == len(TEXTS)
    assert limited.most_under_way == 6
    assert limited.refused < len(TEXTS)


def test_concurrency_grows_to_what_is_set_and_no_further(tmp_path: Path) -> None:
    # So long that the machine sends fourteen requests meanwhile, whatever else it does.
    limited = Limited(latency_s=0.5)
    with serving(limited) as model:
        run(clips(*TEXTS), SINGLE.model_copy(update={"concurrency": 14}), model, tmp_path)
    assert limited.most_under_way == 14


def test_concurrency_doubles_with_the_answers_even_if_they_come_at_once() -> None:
    async def sizes() -> list[int]:
        paced = rate_limiter.RateLimiter(RequestLimits(concurrency=100, patience_s=60.0))
        going: list[Permit] = []

        async def ask() -> None:
            going.append(await paced.acquire(1.0))

        tasks = [asyncio.create_task(ask()) for _ in range(400)]
        found = []
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.02)
            found.append(len(going))
            for permit in going:
                paced.answered(permit, {}, None)
            going.clear()
        return found

    assert asyncio.run(sizes())[:7] == [1, 10, 20, 40, 80, 100, 100]


def test_an_endpoint_that_only_refuses_is_given_up(tmp_path: Path) -> None:
    async def full(request: Request) -> Response:
        return JSONResponse({}, 503)

    with serving(full) as model:
        impatient = Access(model.settings, patience_s=1.0)
        with pytest.raises(EndpointError, match=r"503.*run again later"):
            run(clips(*TEXTS), SINGLE, impatient, tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360), ("120ms", 0.12), ("1.5", 1.5), ("1h2m3.5s", 3723.5), ("1d", 86400), ("0", 0)],
)
def test_times_that_are_understood(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "1e9", "inf", "5 apples", "9" * 400, "1s;drop"])
def test_times_that_are_none(text: str) -> None:
    assert duration_s(text) is None
    assert retry_after_s({"retry-after": text}) is None
    headers = {f"x-ratelimit-{name}-tokens": text for name in ("limit", "remaining", "reset")}
    assert reported(headers, "tokens") == (None, None, None)


def test_a_date_to_come_back_at() -> None:
    later = format_datetime(utc_now() + timedelta(seconds=90), usegmt=True)
    assert retry_after_s({"retry-after": later}) == pytest.approx(90, abs=5)
    assert retry_after_s({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 0
    assert retry_after_s({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
