"""Budgets against a server that charges as a real one does, by tokens."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.llm.scripted_model import scripted
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.s3 import connected, give_credentials, make_bucket
from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.budget import Budget, BudgetExhausted, BudgetTooSmall
from wavcaps_assets.llm.chat import ChatModel
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import PriceError, Prices
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import Store

# One USD a token in, two a token out; half of it by batch.
PRICES = Prices.model_validate(
    {
        "source": "by hand",
        "read": "2026-11-23",
        "batch_share": 0.5,
        "models": {"m": {"input": 1e6, "output": 2e6}},
    }
)
# 20 bytes, 16 for the message, 64 for the template: 100 tokens at most, and 10 out: 120 USD.
MESSAGES: list[Message] = [{"role": "user", "content": "a" * 20}]
PARAMETERS = {"max_tokens": 10}
WORST = 120.0
# 20 in and 5 out: 30 USD.
ANSWER = Answer("A dog.", "stop", 20, 5)


def settings(**limits: Any) -> ModelSettings:
    return ModelSettings(base_url="http://127.0.0.1:1/v1", model="m", **limits)


def budget_in(folder: Path, clock: Any = utc_now, **limits: Any) -> Budget:
    return Budget(PRICES, "m", ResponseLedger(Store(folder), "log/answers"), settings(**limits), clock)


def question(text: str) -> Request:
    return Request("v", "m", PARAMETERS, [text], 0, MESSAGES)


def test_a_run_stops_before_it_would_exceed_its_budget(tmp_path: Path) -> None:
    with budget_in(tmp_path, budget_run_usd=300.0) as budget:
        for spent in (30, 60, 90, 120, 150, 180):
            answer = budget.settle(ANSWER, budget.reserve(MESSAGES, PARAMETERS))
            assert answer.cost_usd == 30.0
            assert budget.run_usd == spent
        # 180 + 120 is 300, which is not more than 300; 210 + 120 is.
        budget.settle(ANSWER, budget.reserve(MESSAGES, PARAMETERS))
        with pytest.raises(BudgetExhausted, match="WAVCAPS_LLM__BUDGET_RUN_USD=300") as raised:
            budget.reserve(MESSAGES, PARAMETERS)
        assert isinstance(raised.value, Paused)
        assert raised.value.until <= utc_now()


def test_what_is_under_way_counts_in_full(tmp_path: Path) -> None:
    with budget_in(tmp_path, budget_run_usd=250.0) as budget:
        first, second = (budget.reserve(MESSAGES, PARAMETERS) for _ in range(2))
        with pytest.raises(BudgetExhausted):
            budget.reserve(MESSAGES, PARAMETERS)
        budget.release(first)
        budget.write_off(budget.reserve(MESSAGES, PARAMETERS))
        assert budget.run_usd == 2 * WORST
        unknown = budget.settle(Answer("A dog.", "stop"), second)
        assert unknown.cost_usd == WORST
        assert budget.run_usd == 2 * WORST


def test_batches_cost_half(tmp_path: Path) -> None:
    with budget_in(tmp_path, budget_run_usd=60.0) as budget:
        reserved = budget.reserve(MESSAGES, PARAMETERS, batch=True)
        assert reserved.pico == 60 * 10**12
        assert budget.settle(Answer("A dog.", "stop", 20, 5, batch=True), reserved).cost_usd == 15.0


def test_a_real_server_never_charges_more_than_the_budget(tmp_path: Path) -> None:
    """Ten workers, answers of all lengths that are allowed, a token a byte of the prompt."""
    charged: list[float] = []

    def script(body: dict[str, Any]) -> Response:
        tokens = len(body["messages"][0]["content"].encode()), 1 + len(charged) % 10
        charged.append(tokens[0] + 2.0 * tokens[1])
        usage = dict(zip(("prompt_tokens", "completion_tokens"), tokens, strict=True))
        choice = {"index": 0, "message": {"role": "assistant", "content": "A."}, "finish_reason": "stop"}
        whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        return JSONResponse({**whole, "usage": {**usage, "total_tokens": sum(tokens)}})

    async def run(model: Any, budget: Budget, ledger: ResponseLedger) -> None:
        async with model:

            async def work(worker: int) -> None:
                for number in range(1000):
                    reservation = await budget.admit(MESSAGES, PARAMETERS)
                    answer = budget.settle((await model.send(MESSAGES, PARAMETERS)).answer, reservation)
                    ledger.record(question(f"{worker}-{number}"), answer)

            ended = await asyncio.gather(*(work(worker) for worker in range(10)), return_exceptions=True)
            assert {type(error) for error in ended} == {BudgetExhausted}

    with (
        scripted(script) as endpoint,
        budget_in(tmp_path, budget_run_usd=2000.0) as budget,
        ResponseLedger(Store(tmp_path), "log/answers") as ledger,
    ):
        asyncio.run(run(ChatModel(endpoint.model().settings, 0), budget, ledger))
        recorded = sum(record["answer"]["cost_usd"] for record in ledger.records())
    assert sum(charged) == budget.run_usd == recorded
    # It stops where the next request could exceed the budget, and no earlier.
    assert 2000.0 - WORST < sum(charged) <= 2000.0


def test_a_months_budget_ends_with_the_month(tmp_path: Path) -> None:
    now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    times = [now]
    with AppendLog(Store(tmp_path), "log/answers") as log:
        for number, at in enumerate(("2026-11-30T23:59:59+00:00", "2026-12-01T00:00:00+00:00")):
            asked, answer = question(str(number)), asdict(Answer("A.", "stop", 20, 5, cost_usd=100.0))
            log.append({"key": asked.key, "at": at, "question": asked.identity(), "answer": answer})
        # From before costs were recorded: 30 USD by the table.
        log.append(
            {"key": "00", "at": "2026-12-02", "question": question("o").identity(), "answer": asdict(ANSWER)}
        )
    with budget_in(tmp_path, lambda: times[0], budget_month_usd=280.0) as budget:
        assert budget.month_usd == 130.0
        last = budget.reserve(MESSAGES, PARAMETERS)
        with pytest.raises(BudgetExhausted, match="WAVCAPS_LLM__BUDGET_MONTH_USD=280") as raised:
            budget.reserve(MESSAGES, PARAMETERS)
        assert raised.value.until == datetime(2027, 1, 1, tzinfo=UTC)
        times[0] = datetime(2027, 1, 1, tzinfo=UTC)
        budget.settle(ANSWER, last)
        assert budget.month_usd == 30.0
        times[0] = now
        assert budget.month_usd == 130.0


def spend(folder: Path, results: Any) -> None:
    """Spends until nothing is left; keeps no answer in the ledger."""
    count = 0
    with budget_in(folder, budget_month_usd=3000.0) as budget:
        try:
            while True:
                budget.settle(ANSWER, budget.reserve(MESSAGES, PARAMETERS))
                count += 1
        except BudgetExhausted:
            results.put(count)


@pytest.mark.slow
def test_processes_share_a_months_budget(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=spend, args=(tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    total = sum(results.get(timeout=60) for _ in processes) * 30.0
    for process in processes:
        process.join()
    # Each of the three may give up while the two others have set something aside.
    assert 3000.0 - 3 * WORST < total <= 3000.0


def machine_spends(store: Store) -> int:
    """How many requests one of several machines can pay for."""
    count = 0
    with Budget(
        PRICES, "m", ResponseLedger(store, "log/answers"), settings(budget_month_usd=3000.0)
    ) as budget:
        try:
            while True:
                budget.settle(ANSWER, budget.reserve(MESSAGES, PARAMETERS))
                count += 1
        except BudgetExhausted:
            return count


@pytest.mark.slow
def test_machines_with_one_bucket_share_a_months_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    give_credentials(monkeypatch)
    with serving_atomic_s3() as url:
        client = connected(url)
        root = make_bucket(url, client).root
        with ThreadPoolExecutor(3) as pool:
            total = sum(pool.map(machine_spends, [Store(root, client) for _ in range(3)])) * 30.0
        # Each of the three may give up while the two others hold an allowance.
        assert 3000.0 / 2 < total <= 3000.0
        ledger = ResponseLedger(Store(root, client), "log/answers")
        with Budget(PRICES, "m", ledger, settings(budget_month_usd=3000.0)) as budget:
            assert budget.month_usd == total
            first = budget.reserve_batch(question(str(number)) for number in range(100))
            assert len(first.pico) < 100 and first.refusal is not None
            # A killed machine leaves as spent what it holds.
            later = Budget(PRICES, "m", ledger, settings(budget_month_usd=3000.0))
            assert later.month_usd == pytest.approx(total + sum(first.pico) / 1e12)
            with pytest.raises(BudgetExhausted):
                later.reserve(MESSAGES, PARAMETERS)
            budget.settle_batch(first.reservation, 0)
        with later:
            assert later.month_usd == total


def test_what_a_killed_run_had_under_way_still_counts(tmp_path: Path) -> None:
    budget_in(tmp_path, budget_month_usd=200.0).reserve(MESSAGES, PARAMETERS)
    with budget_in(tmp_path, budget_month_usd=200.0) as later, pytest.raises(BudgetExhausted):
        later.reserve(MESSAGES, PARAMETERS)


def test_a_batch_may_be_collected_by_a_later_run(tmp_path: Path) -> None:
    with budget_in(tmp_path, budget_month_usd=200.0) as budget:
        reserved = budget.reserve(MESSAGES, PARAMETERS)
    with budget_in(tmp_path, budget_month_usd=200.0, budget_run_usd=200.0) as later:
        assert later.settle(ANSWER, reserved).cost_usd == 30.0
        assert (later.month_usd, later.run_usd) == (30.0, 0.0)


def test_budgets_that_cannot_work_say_so(tmp_path: Path) -> None:
    ledger = ResponseLedger(Store(tmp_path), "log/answers")
    with pytest.raises(PriceError, match="WAVCAPS_LLM__PRICES"):
        Budget(PRICES, "other", ledger, settings(budget_run_usd=1.0, free=False))
    with budget_in(tmp_path, budget_run_usd=100.0) as budget:
        with pytest.raises(BudgetTooSmall, match=r"120 USD.*WAVCAPS_LLM__BUDGET_RUN_USD is 100"):
            budget.reserve(MESSAGES, PARAMETERS)
        with pytest.raises(ValueError, match="max_tokens"):
            budget.reserve(MESSAGES, {})


def test_without_a_limit_nothing_is_refused_and_costs_are_told(tmp_path: Path) -> None:
    with budget_in(tmp_path) as budget:
        for _ in range(3):
            assert budget.settle(ANSWER, budget.reserve(MESSAGES, {})).cost_usd == 30.0
        assert budget.run_usd == 90.0
    unknown = Budget(PRICES, "other", ResponseLedger(Store(tmp_path), "log/answers"), settings(free=False))
    assert unknown.settle(ANSWER, unknown.reserve(MESSAGES, PARAMETERS)).cost_usd is None
    assert list(tmp_path.iterdir()) == []
