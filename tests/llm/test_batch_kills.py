"""Killed at every step, a run goes on where it was: nothing is submitted twice, nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.llm.batch_runs import MONTH_USD, PAID, PRICES, Runs, requests, run
from tests.llm.batch_server import MODEL, BatchServer, answer_to, batching
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.store.storage import Store

KILLED = -signal.SIGKILL
# Two batches of three requests: four records before each is created, its answers, and its end.
RECORDS = 2 * (4 + 1 + 1)


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as started:
        yield started


def check_all_answered_once(server: BatchServer, folder: Path, killed: bool = True) -> None:
    store = Store(folder)
    # A run that finds everything answered does not look at the log; the next that asks tidies it up.
    run(server, folder, "cat")
    ledger = ResponseLedger(store, "log/answers")
    asked = requests("cat")
    texts = [answer.text if (answer := ledger.get(one.request)) else None for one in asked]
    assert texts == [answer_to(one.request.inputs[0]) for one in asked]
    assert len(list(ledger.records())) == len(asked)
    assert dict(server.submitted) == {one.request.key: 1 for one in asked}
    assert store.sizes("log/batches/asked") == {}
    billed = PAID * sum(server.billed.values())
    settings = server.settings().model_copy(update={"budget_month_usd": MONTH_USD})
    with Budget(PRICES, MODEL, ledger, settings) as budget:
        # A reservation that a kill left counts as spent.
        assert billed <= budget.month_usd <= MONTH_USD
        assert killed or budget.month_usd == billed


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", range(1, RECORDS + 1))
def test_a_kill_before_any_record_repeats_nothing(tmp_path: Path, runs: Runs, kill_at: int) -> None:
    with batching() as server:
        assert runs.wait(runs.start(server, tmp_path, kill_at)) == KILLED
        run(server, tmp_path)
        check_all_answered_once(server, tmp_path)


@pytest.mark.slow
def test_no_kill_comes_later_than_the_last_record(tmp_path: Path, runs: Runs) -> None:
    with batching() as server:
        assert runs.wait(runs.start(server, tmp_path, RECORDS + 1)) == 0
        check_all_answered_once(server, tmp_path, killed=False)


@pytest.mark.slow
def test_kills_at_every_record_in_turn(tmp_path: Path, runs: Runs) -> None:
    with batching() as server:
        kill_at = 0
        code = KILLED
        while code == KILLED:
            # Each run gets one record further than where it was killed, or less far.
            kill_at += 1
            code = runs.wait(runs.start(server, tmp_path, kill_at))
        assert code == 0 and kill_at > 5
        check_all_answered_once(server, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["upload", "create", "retrieve", "content"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_while_the_server_is_asked_repeats_nothing(
    tmp_path: Path, runs: Runs, step: str, moment: str
) -> None:
    kill_in_flight(runs, tmp_path, step, moment, BatchServer.create_delay_s)


@pytest.mark.slow
def test_a_kill_before_the_server_has_created_what_it_was_asked_for(tmp_path: Path, runs: Runs) -> None:
    # The next run looks for the batch before it is there.
    kill_in_flight(runs, tmp_path, "create", "before", create_delay_s=0.25)


def kill_in_flight(runs: Runs, folder: Path, step: str, moment: str, create_delay_s: float) -> None:
    with batching(create_delay_s=create_delay_s) as server:
        victim: Future[int] = Future()
        killed = False

        def kill(at: str) -> None:
            nonlocal killed
            if at == step and not killed:
                killed = True
                os.kill(victim.result(), signal.SIGKILL)

        setattr(server, moment, kill)
        victim.set_result(runs.start(server, folder))
        assert runs.wait(victim.result()) == KILLED
        run(server, folder)
        check_all_answered_once(server, folder)


@pytest.mark.slow
def test_two_processes_ask_the_same_at_the_same_time(tmp_path: Path, runs: Runs) -> None:
    with batching(polls=3) as server:
        children = [runs.start(server, tmp_path) for _ in range(2)]
        assert [runs.wait(child) for child in children] == [0, 0]
        check_all_answered_once(server, tmp_path, killed=False)
