"""Paid for once: clips that come later shift no question, and a batch that is under way stays counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.captioning.batch_server import KEY, MODEL, BatchServer, batching
from tests.captioning.scripted_model import asked, scripted
from tests.captioning.test_engine import LISTED, clips
from wavcaps_assets.captioning.batches import BatchSettings
from wavcaps_assets.captioning.budget import Budget, BudgetExhausted
from wavcaps_assets.captioning.costs import costs
from wavcaps_assets.captioning.engine import caption_clips, first_questions
from wavcaps_assets.captioning.estimate import Planned
from wavcaps_assets.captioning.ledger import ANSWERS, Ledger, Question
from wavcaps_assets.captioning.prices import load_prices
from wavcaps_assets.captioning.prompts import Message
from wavcaps_assets.captioning.run import by_batch
from wavcaps_assets.captioning.tokens import most_tokens
from wavcaps_assets.network_errors import Paused
from wavcaps_assets.settings import ModelSettings
from wavcaps_assets.storage import Store

ANIMALS = ("dog", "cat", "cow", "horse", "sheep", "frog", "hen", "pig")
PAIRS = LISTED.model_copy(update={"batch_size": 2})
PATIENT = BatchSettings(poll_s=0.01, longest_poll_s=0.02, wait_in_place_s=20, creation_settles_s=0)
HASTY = PATIENT.model_copy(update={"wait_in_place_s": 0.05})
PRICES = """
source = "this test"
read = 2026-11-01
batch_share = 0.5
[models.batched]
input = 1000000
output = 2000000
"""


def texts(*animals: str) -> list[str]:
    return [f"The {animal} in the yard makes its sound in the morning." for animal in animals]


def answer(body: dict[str, Any]) -> str:
    lines = [line.partition('"')[2].split() for line in asked(body).splitlines()]
    return "\n".join(f"{index}. A {words[1]} is calling." for index, words in enumerate(lines, 1))


def test_a_new_clip_among_many_shifts_no_question(tmp_path: Path) -> None:
    with scripted(answer) as endpoint, Ledger(Store(tmp_path), ANSWERS) as ledger:
        first = caption_clips(clips(*texts(*ANIMALS)), "freesound", PAIRS, endpoint.model(), ledger)
        assert len(endpoint.requests) == 4
        more = clips(*texts("owl", *ANIMALS[:3], "duck", *ANIMALS[3:]))
        planned = first_questions(more, "freesound", PAIRS, endpoint.model().name, ledger)
        assert [question in ledger for question, _ in planned] == [True] * 4 + [False]
        second = caption_clips(more, "freesound", PAIRS, endpoint.model(), ledger)
        assert len(endpoint.requests) == 5
        # A clip that is gone takes the other of its pair with it, and no more.
        fewer = clips(*texts(*ANIMALS[1:]))
        third = caption_clips(fewer, "freesound", PAIRS, endpoint.model(), ledger)
        assert len(endpoint.requests) == 6
    for stage, animals in ((first, ANIMALS), (third, ANIMALS[1:])):
        assert stage.kept["caption"].to_pylist() == [f"A {animal} is calling." for animal in animals]
    assert set(first.kept["caption"].to_pylist()) < set(second.kept["caption"].to_pylist())


def planned(*animals: str) -> list[Planned]:
    return [
        Planned(
            Question("v", MODEL, {"max_tokens": 10}, [animal], 0),
            [Message(role="user", content=animal)],
        )
        for animal in animals
    ]


WORST = [(most_tokens(one.messages, {}) + 20.0) / 2 for one in planned("a cow", "a pig")]
PAID = (7 + 2 * 5) / 2


def batch(
    server: BatchServer, folder: Path, *animals: str, limits: BatchSettings = PATIENT, month_usd: float
) -> float:
    """Asks about each, and gives what the month has come to (USD)."""
    prices = folder / "prices.toml"
    prices.write_text(PRICES)
    llm = ModelSettings(
        base_url=f"{server.root}/v1", model=MODEL, api_key=KEY, prices=prices, budget_month_usd=month_usd
    )
    store = Store(folder)
    with Ledger(store, ANSWERS) as ledger, Budget(load_prices(prices), MODEL, ledger, llm) as budget:
        try:
            by_batch(planned(*animals), "freesound", llm, store, ledger, budget, limits)
        except Paused as pause:
            if isinstance(pause, BudgetExhausted):
                raise
        return budget.month_usd


def test_what_a_paused_run_has_submitted_stays_in_the_month_until_it_is_paid(tmp_path: Path) -> None:
    # Room for both of the first batch and for half a request.
    month = sum(WORST) + WORST[0] / 2
    with batching(polls=10**9) as server:
        for _ in range(3):
            spent = batch(server, tmp_path, "a cow", "a pig", limits=HASTY, month_usd=month)
            assert spent == pytest.approx(sum(WORST))
        with pytest.raises(BudgetExhausted, match="WAVCAPS_LLM__BUDGET_MONTH_USD"):
            batch(server, tmp_path, "a dog", month_usd=month)
        server.polls = 1
        assert batch(server, tmp_path, "a cow", "a pig", month_usd=month) == pytest.approx(2 * PAID)
        assert batch(server, tmp_path, "a dog", month_usd=month) == pytest.approx(3 * PAID)
    assert set(server.submitted.values()) == {1}
    with Ledger(Store(tmp_path), ANSWERS) as ledger:
        (row,) = costs(ledger.records(), load_prices(tmp_path / "prices.toml")).to_pylist()
    assert (row["source"], row["requests"]) == ("freesound", 3)
    assert row["cost_usd"] == pytest.approx(3 * PAID)


def test_a_batch_that_does_not_fit_sets_nothing_aside(tmp_path: Path) -> None:
    with batching() as server:
        with pytest.raises(BudgetExhausted):
            batch(server, tmp_path, "a cow", "a pig", month_usd=sum(WORST) - 1)
        assert not server.submitted
        assert batch(server, tmp_path, "a cow", month_usd=sum(WORST) - 1) == pytest.approx(PAID)
