"""Killed at random moments and started again, captioning ends with what an unbroken run has."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.captioning.caption_on_demand import CONCURRENCY, clips
from tests.captioning.scripted_model import completion
from tests.captioning.test_engine import items
from tests.servers import running
from wavcaps_assets.captioning.ledger import Ledger
from wavcaps_assets.storage import Store
from wavcaps_assets.table_store import TableStore

ROOT = Path(__file__).parents[2]
KILLS = 50
LATENCY_S = 0.05
LONGEST_S = 0.4
SEED = 41


def answer_to(body: dict[str, Any]) -> str:
    """The same answer to the same question: mostly right; lists with a hungry frog are miscounted, and
    the model will not speak of angry cows at first."""
    texts = items(body)
    first = 0 if len(texts) > 1 and any("hungry frog" in text for text in texts) else 1
    sentences = [
        "Sorry." if "angry cow" in text and body["temperature"] == 0 else f"A {text}."
        for text in (" is ".join(text.rsplit(" ", 1)) for text in texts)
    ]
    return "\n".join(f"{index}. {sentence}" for index, sentence in enumerate(sentences, first))


class Counting:
    """Answers, and counts the questions of each run."""

    def __init__(self) -> None:
        self.runs: list[Counter[str]] = []

    async def __call__(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.runs[-1][json.dumps(body, sort_keys=True)] += 1
        await asyncio.sleep(LATENCY_S)
        return completion(answer_to(body))


def line(process: IO[str] | None) -> str:
    assert process is not None
    return process.readline().strip()


@pytest.mark.timeout(300)
def test_fifty_kills_change_nothing_and_pay_for_nothing_twice(tmp_path: Path) -> None:
    counting = Counting()

    async def complete(request: Request) -> Response:
        return await counting(request)

    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    command = [sys.executable, "-m", "tests.captioning.caption_on_demand"]
    with (
        running(app) as url,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert line(process.stdout) == "ready"
        assert process.stdin is not None

        def start(folder: str) -> int:
            assert process.stdin is not None
            counting.runs.append(Counter())
            process.stdin.write(f"{tmp_path / folder} {url}\n")
            process.stdin.flush()
            return int(line(process.stdout))

        start("unbroken")
        assert line(process.stdout) == "0"
        (unbroken,) = counting.runs

        moments = random.Random(SEED)
        counting.runs.clear()
        for killed in range(KILLS):
            child = start("broken")
            time.sleep(moments.uniform(0, LONGEST_S))
            os.kill(child, signal.SIGKILL)
            assert line(process.stdout) == str(-signal.SIGKILL), f"all done after {killed} kills"
        start("broken")
        assert line(process.stdout) == "0"
        process.stdin.close()

    def table(folder: str) -> dict[str, list[dict[str, Any]]]:
        stage = TableStore(Store(tmp_path / folder)).read_stage(["freesound", "llm_captions"])
        return {"kept": stage.kept.to_pylist(), "dropped": stage.dropped.to_pylist()}

    assert table("broken") == table("unbroken")
    assert len(table("broken")["kept"]) == clips().num_rows
    with Ledger(Store(tmp_path / "broken"), "log/answers") as ledger:
        assert len(ledger) == len(unbroken)

    asked = sum(counting.runs, Counter[str]())
    assert asked.keys() == unbroken.keys()
    assert set(unbroken.values()) == {1}
    repeated = 0
    for number, run in enumerate(counting.runs):
        # What a kill met in flight is asked again, and nothing else.
        again = (run & sum(counting.runs[number + 1 :], Counter[str]())).total()
        assert again <= CONCURRENCY
        repeated += again
    assert repeated > 0, "no kill met a request in flight"
    assert asked.total() == unbroken.total() + repeated
    assert counting.runs[-1].total() < unbroken.total(), "every kill came before the first answer"
