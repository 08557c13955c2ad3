"""Killed at random moments and started again, captioning ends with what an unbroken run has."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.captioning.caption_on_demand import CONCURRENCY, clips
from tests.captioning.test_engine import items
from tests.llm.scripted_model import completion
from tests.support.paths import ROOT
from tests.support.servers import running
from wavcaps_assets.llm.dispatcher import WORKERS_A_REQUEST
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = pytest.mark.slow

KILLS = 50
LATENCY_S = 0.04
SEED = 41
# How long the slowest machine takes to come to the moment of a kill (s).
PATIENCE_S = 60.0


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


@dataclass
class Run:
    """What one run asks, and how far it may get.

    Attributes:
        after: it will be killed once it has had this many answers.
        asked: how often each question came.
        answered: answers so far.
        open: requests that wait for their answer.
        most_open: the most of them at the same time.
        moment: set when it has had `after` answers.
    """

    after: float
    asked: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    open: int = 0
    most_open: int = 0
    moment: threading.Event = field(default_factory=threading.Event)


class Counting:
    """Answers, and counts the questions of each run.

    A run that is to be killed gets at most as many answers more as it may have requests under way: it
    cannot end before the kill, however long that takes to come.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []

    async def __call__(self, request: Request) -> Response:
        run = self.runs[-1]
        body = json.loads(await request.body())
        run.asked[json.dumps(body, sort_keys=True)] += 1
        run.open += 1
        run.most_open = max(run.most_open, run.open)
        await asyncio.sleep(LATENCY_S)
        while run.answered >= run.after + CONCURRENCY and run is self.runs[-1]:
            await asyncio.sleep(LATENCY_S)
        run.open -= 1
        run.answered += 1
        if run.answered >= run.after:
            run.moment.set()
        return completion(answer_to(body))


def line(process: IO[str] | None) -> str:
    assert process is not None
    return process.readline().strip()


def recorded(folder: Path) -> int:
    with ResponseLedger(Store(folder), "log/answers") as ledger:
        return len(ledger)


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

        def start(folder: str, after: float = math.inf) -> int:
            assert process.stdin is not None
            counting.runs.append(Run(after))
            process.stdin.write(f"{tmp_path / folder} {url}\n")
            process.stdin.flush()
            return int(line(process.stdout))

        start("unbroken")
        assert line(process.stdout) == "0"
        unbroken = counting.runs.pop().asked

        # Spread over the whole run: each kill should find this many answers stored.
        chance = random.Random(SEED)
        for found in sorted(chance.choices(range(unbroken.total() - 2 * CONCURRENCY), k=KILLS)):
            child = start("broken", max(found - recorded(tmp_path / "broken"), 0))
            run = counting.runs[-1]
            if run.after:
                assert run.moment.wait(PATIENCE_S), f"{run.answered} of {run.after} answers came"
            time.sleep(chance.uniform(0, 2 * LATENCY_S))
            os.kill(child, signal.SIGKILL)
            assert line(process.stdout) == str(-signal.SIGKILL)
        start("broken")
        assert line(process.stdout) == "0"
        process.stdin.close()

    def table(folder: str) -> dict[str, list[dict[str, Any]]]:
        stage = TableStore(Store(tmp_path / folder)).read_stage(["freesound", "llm_captions"])
        return {"kept": stage.kept.to_pylist(), "dropped": stage.dropped.to_pylist()}

    assert table("broken") == table("unbroken")
    assert len(table("broken")["kept"]) == clips().num_rows
    assert recorded(tmp_path / "broken") == len(unbroken)

    assert max(run.most_open for run in counting.runs) == CONCURRENCY
    runs = [run.asked for run in counting.runs]
    asked = sum(runs, Counter[str]())
    assert asked.keys() == unbroken.keys()
    assert set(unbroken.values()) == {1}
    repeated = []
    for number, run_asked in enumerate(runs):
        # What a kill met in flight is asked again, and nothing else.
        repeated.append((run_asked & sum(runs[number + 1 :], Counter[str]())).total())
    # In flight is what has been asked and is not yet written down.
    assert max(repeated) <= math.ceil(CONCURRENCY * WORKERS_A_REQUEST) == CONCURRENCY + 1
    assert sum(repeated) > 0, "no kill met a request in flight"
    assert asked.total() == unbroken.total() + sum(repeated)
    assert runs[-1].total() < unbroken.total(), "every kill came before the first answer"
