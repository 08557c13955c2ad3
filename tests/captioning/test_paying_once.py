"""Paid for once: clips that come later shift no question, and a batch that is under way stays counted."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tests.captioning.test_engine import LISTED, clips
from tests.llm.batch_server import KEY, MODEL, BatchServer, batching, refusal
from tests.llm.scripted_model import MODEL as MODEL_NAME
from tests.llm.scripted_model import Followed, asked, completion, scripted
from wavcaps_assets.captioning.engine import caption_clips, read_texts
from wavcaps_assets.captioning.prompts import load_prompt
from wavcaps_assets.captioning.requests import first_requests, grouped
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.budget import Budget, BudgetExhausted
from wavcaps_assets.llm.costs import costs
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.records import Request
from wavcaps_assets.llm.session import Session
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.store.storage import Store

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
    with scripted(answer) as endpoint, endpoint.model().session(tmp_path, PAIRS.limits) as session:
        first = caption_clips(clips(*texts(*ANIMALS)), "freesound", PAIRS, session).stage
        assert len(endpoint.requests) == 4
        more = clips(*texts("owl", *ANIMALS[:3], "duck", *ANIMALS[3:]))
        prompt = load_prompt(PAIRS.prompt, "freesound", PAIRS.form)
        given = read_texts(more, "freesound", PAIRS).given
        grouping = grouped(given, prompt, PAIRS, session)
        requests = list(first_requests(grouping.groups, prompt, PAIRS, MODEL_NAME))
        assert [session.find(request) is not None for request in requests] == [True] * 4 + [False]
        estimated = session.estimate(requests)
        assert (estimated.answered, estimated.requests) == (4, 1)
        second = caption_clips(more, "freesound", PAIRS, session).stage
        assert len(endpoint.requests) == 5
        # A clip that is gone leaves the other of its pair its answer.
        fewer = clips(*texts(*ANIMALS[1:]))
        third = caption_clips(fewer, "freesound", PAIRS, session).stage
        assert len(endpoint.requests) == 5
    for stage, animals in ((first, ANIMALS), (third, ANIMALS[1:])):
        assert stage.kept["caption"].to_pylist() == [f"A {animal} is calling." for animal in animals]
        assert set(stage.kept["attempts"].to_pylist()) == {1}
    assert set(first.kept["caption"].to_pylist()) < set(second.kept["caption"].to_pylist())


MANY = [f"{animal}{number}" for number in range(50) for animal in ANIMALS]


def mostly(body: dict[str, Any]) -> str:
    """Miscounts every list that begins with a dog."""
    return answer(body).replace("1. A dog", "7. A dog") if asked(body).count("\n") else answer(body)


@pytest.mark.slow
@pytest.mark.parametrize("sample_first", [True, False])
def test_nothing_that_has_an_answer_is_asked_again(sample_first: bool, tmp_path: Path) -> None:
    chance = random.Random(3)
    everything = texts(*MANY)
    sample = everything[::20]
    fewer = [text for text in everything if chance.random() >= 0.05]
    with scripted(mostly) as endpoint, endpoint.model().session(tmp_path, LISTED.limits) as session:

        def ask(some: list[str]) -> int:
            """How many requests it takes."""
            before = len(endpoint.requests)
            stage = caption_clips(clips(*some), "freesound", LISTED, session).stage
            assert stage.kept.num_rows == len(some)
            for text, caption in zip(some, stage.kept["caption"].to_pylist(), strict=True):
                assert caption == f"A {text.split()[1]} is calling."
            return len(endpoint.requests) - before

        assert ask(sample if sample_first else everything)
        in_whole = ask(everything if sample_first else sample)
        assert bool(in_whole) is sample_first
        for some in (fewer, sample[1:], everything[::7], list(reversed(everything)), everything[:1]):
            assert ask(some) == 0
        assert ask([*fewer, *texts("owl", "duck")]) == 1
    asked_for = Counter(
        line.partition(". ")[2] for body in endpoint.requests for line in asked(body).splitlines()
    )
    # A list that was miscounted is asked in halves, and so on; no text is in more lists than that takes.
    assert max(asked_for.values()) <= 6
    alone = [text for text, count in asked_for.items() if count == 1]
    assert len(alone) > len(everything) / 3


def test_what_another_list_left_open_is_asked_alone(tmp_path: Path) -> None:
    """A pair whose answer is cut off after the first: with the second comes a new one."""

    def cut(body: dict[str, Any]) -> Response | str:
        return completion("1. A dog is calling.\n2. A", "length") if "dog" in asked(body) else answer(body)

    with scripted(cut) as endpoint, endpoint.model().session(tmp_path, PAIRS.limits) as session:
        caption_clips(clips(*texts("dog", "cat")), "freesound", PAIRS, session)
        assert len(endpoint.requests) == 2
        stage = caption_clips(clips(*texts("dog", "owl")), "freesound", PAIRS, session).stage
        assert [asked(body) for body in endpoint.requests[2:]] == [f'1. "{texts("owl")[0]}"']
    assert stage.kept["caption"].to_pylist() == ["A dog is calling.", "A owl is calling."]


def planned(*animals: str) -> list[Request]:
    return [
        Request("v", MODEL, {"max_tokens": 10}, [animal], 0, [Message(role="user", content=animal)])
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
    with Session(llm, store, label="freesound") as session:
        try:
            session.batch(planned(*animals), limits)
        except Paused as pause:
            if isinstance(pause, BudgetExhausted):
                raise
    with ResponseLedger(store, ANSWERS) as ledger, Budget(load_prices(prices), MODEL, ledger, llm) as budget:
        return budget.month_usd


@pytest.mark.slow
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
    with ResponseLedger(Store(tmp_path), ANSWERS) as ledger:
        (row,) = costs(ledger.records(), load_prices(tmp_path / "prices.toml")).to_pylist()
    assert (row["source"], row["requests"]) == ("freesound", 3)
    assert row["cost_usd"] == pytest.approx(3 * PAID)


def test_as_many_are_asked_by_batch_as_the_budget_has_room_for(tmp_path: Path) -> None:
    """Answers cost far less than their reservations: the rest is sent with what is left."""
    with batching() as server:
        month = WORST[0] + PAID
        assert batch(server, tmp_path, "a cow", "a pig", month_usd=month) == pytest.approx(2 * PAID)
        assert set(server.submitted.values()) == {1}
        with pytest.raises(BudgetExhausted, match="1 of 3 requests have been answered by batch"):
            batch(server, tmp_path, "a dog", "a hen", "an owl", month_usd=2 * PAID + WORST[0] + PAID / 2)
        assert len(server.submitted) == 3
        # Nothing stays reserved.
        assert batch(server, tmp_path, "a dog", month_usd=1000.0) == pytest.approx(3 * PAID)


def test_progress_and_failures_of_batches_are_told(tmp_path: Path) -> None:
    """Three requests, of which the budget has room for two at a time; one is refused for good."""

    def fate(line: dict[str, Any], nth: int) -> dict[str, Any] | None:
        return refusal(400) if "pig" in str(line) else None

    progress = Followed()
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    with batching(fate=fate) as server:
        llm = server.settings().model_copy(update={"prices": prices, "budget_run_usd": 2.5 * WORST[0]})
        with Session(llm, Store(tmp_path), progress=progress) as session:
            asked = planned("a cow", "a pig", "a dog")
            failed = session.batch(asked, PATIENT)
    assert progress.facts["spent by this run (USD)"] == pytest.approx(2 * PAID)
    assert progress.facts["requests without an answer by batch"] == 1
    assert {total for _, total in progress.done} == {3}
    assert sorted(done for done, _ in progress.done) == [done for done, _ in progress.done]
    assert list(failed) == [asked[1].key]
    assert "400" in failed[asked[1].key]
