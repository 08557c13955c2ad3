"""A session without captions: any requests, each paid for once."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.llm.batch_server import MODEL as BATCH_MODEL
from tests.llm.batch_server import answer_to, batching
from tests.llm.scripted_model import KEY, MODEL, Followed, asked, scripted
from tests.support.paths import ROOT
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.chat import AnswerError, EndpointError
from wavcaps_assets.llm.costs import costs
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.session import Session
from wavcaps_assets.llm.settings import ModelSettings, RequestLimits
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.store.storage import Store

QUICK = BatchSettings(poll_s=0.01, longest_poll_s=0.02, wait_in_place_s=20, creation_settles_s=0)


def translate(body: dict[str, Any]) -> str:
    return f"German for {asked(body)}"


def test_the_lines_in_the_docs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/captioning.md").read_text(), re.DOTALL)
    assert len([line for line in lines.splitlines() if line and "import" not in line]) <= 10
    with scripted(translate) as endpoint:
        monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path))
        monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", f"{endpoint.root}/v1")
        monkeypatch.setenv("WAVCAPS_LLM__MODEL", MODEL)
        monkeypatch.setenv("WAVCAPS_LLM__API_KEY", KEY)
        for _ in range(2):
            names: dict[str, Any] = {"captions": ["A dog is barking.", "Rain is falling."]}
            exec(lines, names)
            assert [answer.text for answer in names["answers"]] == [
                "German for A dog is barking.",
                "German for Rain is falling.",
            ]
        assert len(endpoint.requests) == 2
        assert endpoint.requests[0]["messages"][0]["content"].startswith("Translate")
        (row,) = costs(names["session"].ledger.records(), names["session"].prices).to_pylist()
    assert (row["source"], row["requests"]) == ("german", 2)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("2 requests (0 answered already)")
    assert second.startswith("0 requests (2 answered already)")


def test_each_request_is_sent_once_and_answers_keep_their_order(tmp_path: Path) -> None:
    progress = Followed()
    texts = ["dog", "cat", "dog", "cow"]
    with scripted(translate) as endpoint, endpoint.model().session(tmp_path, progress=progress) as session:
        requests = [session.request([{"role": "user", "content": text}]) for text in texts]
        found = session.ask(requests)
        again = session.ask(requests)
        assert len(endpoint.requests) == 3
    assert [answer.text for answer in found if answer] == [f"German for {text}" for text in texts]
    assert again == found
    assert progress.done[-1] == (4, 4)
    assert progress.facts["requests made"] == 3


def test_a_request_without_an_answer_is_none_and_is_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    statuses = [400]

    def script(body: dict[str, Any]) -> str | Response:
        if asked(body) == "cat" and statuses:
            return JSONResponse({"error": {"message": "no cats"}}, statuses.pop())
        return translate(body)

    with scripted(script) as endpoint, endpoint.model().session(tmp_path) as session:
        requests = [session.request([{"role": "user", "content": text}]) for text in ("dog", "cat")]
        dog, cat = session.ask(requests)
        assert dog is not None and cat is None
        assert "no cats" in caplog.text
        dog, cat = session.ask(requests)
        assert dog is not None and cat is not None
        assert [asked(body) for body in endpoint.requests].count("dog") == 1


def test_further_requests_follow_from_answers_that_are_stored(tmp_path: Path) -> None:
    with scripted(translate) as endpoint, endpoint.model().session(tmp_path) as session:
        seen: list[str] = []

        def handle(request: Request, outcome: Answer | AnswerError) -> list[Request]:
            assert isinstance(outcome, Answer) and session.find(request) == outcome
            seen.append(outcome.text)
            if len(seen) == 3:
                return []
            return [session.request([{"role": "user", "content": outcome.text}])]

        session.process([session.request([{"role": "user", "content": "dog"}])], handle)
    assert seen == [f"{'German for ' * times}dog" for times in (1, 2, 3)]


def test_a_session_that_is_not_used_opens_nothing(tmp_path: Path) -> None:
    progress = Followed()
    with Session(ModelSettings(), Store(tmp_path / "store"), progress=progress) as session:
        assert session.model_name == ""
    assert not (tmp_path / "store").exists() and progress.facts == {}
    with Session(ModelSettings(), Store(tmp_path)) as session, pytest.raises(EndpointError, match="BASE_URL"):
        session.estimate([])


def test_requests_that_cannot_be_sent_are_refused(tmp_path: Path) -> None:
    with scripted(translate) as endpoint, endpoint.model().session(tmp_path) as session:
        other = Request.of([{"role": "user", "content": "dog"}], "other")
        with pytest.raises(ValueError, match="'other' in a session with 'scripted'"):
            session.ask([other])
        with pytest.raises(ValueError, match="no messages"):
            session.ask([Request("v", MODEL, {}, ["dog"])])
        assert endpoint.requests == []


def test_a_session_can_be_used_after_a_failure(tmp_path: Path) -> None:
    """The rate limiter keeps what it has learned, and forgets that it was stopped."""
    broken = [404]

    def script(body: dict[str, Any]) -> str | int:
        return broken.pop() if broken else translate(body)

    with scripted(script) as endpoint:
        limits = RequestLimits(concurrency=4)
        with endpoint.model().session(tmp_path, limits) as session:
            request = session.request([{"role": "user", "content": "dog"}])
            with pytest.raises(EndpointError, match="404"):
                session.ask([request])
            (answer,) = session.ask([request])
    assert answer is not None and answer.text == "German for dog"


def test_the_batch_interface_answers_the_same_requests(tmp_path: Path) -> None:
    with batching() as server, Session(server.settings(), Store(tmp_path), label="judge") as session:
        requests = [
            session.request([{"role": "user", "content": f"dog {number}"}], max_tokens=9)
            for number in range(3)
        ]
        assert session.batch(requests, QUICK) == {}
        found = session.ask(requests)
    assert {request.model for request in requests} == {BATCH_MODEL}
    assert [answer.text for answer in found if answer] == [answer_to(f"dog {number}") for number in range(3)]
    assert all(answer.batch for answer in found if answer)


def test_a_notebook_has_an_event_loop_already(tmp_path: Path) -> None:
    async def cell() -> list[Answer | None]:
        return session.ask([session.request([{"role": "user", "content": "dog"}])])

    with scripted(translate) as endpoint, endpoint.model().session(tmp_path) as session:
        (answer,) = asyncio.run(cell())
    assert answer is not None and answer.text == "German for dog"


class Interruption(BaseException):
    """As Dagster's, of a run that is terminated."""


@pytest.mark.parametrize("kind", [Interruption, GeneratorExit, asyncio.CancelledError, KeyboardInterrupt])
def test_an_interruption_ends_the_requests_and_keeps_their_answers(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def interrupted(request: Request, outcome: Answer | AnswerError) -> list[Request]:
        raise kind

    with scripted(translate) as endpoint, endpoint.model().session(tmp_path) as session:
        requests = [session.request([{"role": "user", "content": str(number)}]) for number in range(60)]
        with pytest.raises(kind):
            session.process(requests, interrupted)
        assert len(endpoint.requests) < 60
        assert len(session.ledger) == len(endpoint.requests)


def test_the_same_request_twice_is_paid_for_once(store: Store) -> None:
    """Also in a bucket, which holds no leases."""
    handled: list[str] = []

    def handle(request: Request, outcome: Answer | AnswerError) -> list[Request]:
        handled.append(request.key)
        return []

    def script(body: dict[str, Any]) -> str:
        time.sleep(0.1)
        return translate(body)

    with scripted(script, in_threads=True) as endpoint, endpoint.model().session(store) as session:
        warm, dog = (session.request([{"role": "user", "content": text}]) for text in ("warm", "dog"))
        session.process([warm, dog, dog, dog], handle)
        assert len(endpoint.requests) == 2
    assert handled.count(dog.key) == 3


def test_a_budget_requires_a_real_limit_of_the_answer(tmp_path: Path) -> None:
    """A server of llama.cpp takes -1 as no limit."""
    with scripted(translate) as endpoint:
        priced = {"model": "gpt-4o-mini", "budget_run_usd": 0.001}
        settings = endpoint.model().settings.model_copy(update=priced)
        with Session(settings, Store(tmp_path)) as session:
            request = session.request([{"role": "user", "content": "dog"}], max_tokens=-1)
            with pytest.raises(ValueError, match="max_tokens"):
                session.ask([request])
        assert endpoint.requests == []


def test_tools_count_as_input() -> None:
    tool = {"type": "function", "function": {"name": "judge", "description": "x" * 5000}}
    assert most_tokens([{"role": "user", "content": "dog"}], {"tools": [tool]}) > 5000
