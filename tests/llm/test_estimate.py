"""Estimates against what real servers count."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.demo.language_model import MODEL_NAME, running_model
from wavcaps_assets.llm.chat import ChatModel
from wavcaps_assets.llm.estimate import estimate
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.store.storage import Store

PAID = ModelSettings(base_url="https://api.openai.com/v1", model="gpt-4o-mini")
# 384 characters and 16 for the message: a size of 400, 100 tokens by the rule of thumb.
MESSAGES: list[Message] = [{"role": "user", "content": "a" * 384}]


def planned(count: int, model: str = PAID.model) -> list[Request]:
    return [Request("v", model, {"max_tokens": 60}, [str(number)], 0, MESSAGES) for number in range(count)]


def test_an_estimate_worked_out_by_hand(tmp_path: Path) -> None:
    with ResponseLedger(Store(tmp_path), "log/answers") as ledger:
        found = estimate(planned(1000), ledger, load_prices(), PAID)
        assert (found.requests, found.answered) == (1000, 0)
        assert (found.input_tokens, found.output_tokens) == (100_000, 16_000)
        # 65,000 x 0.15 + 8,000 x 0.60, and 135,000 x 0.15 + 60,000 x 0.60, a million.
        assert found.cost_low_usd == pytest.approx(0.00975 + 0.0048)
        assert found.cost_high_usd == pytest.approx(0.02025 + 0.036)
        by_batch = estimate(planned(1000), ledger, load_prices(), PAID, batch=True)
        assert by_batch.cost_high_usd == pytest.approx(0.05625 / 2)
        assert "rule of thumb" in found.summary and "2026-11-23" in found.summary
        assert found.metadata()["requests to make"] == 1000


def test_an_estimate_learns_from_what_was_answered(tmp_path: Path) -> None:
    plan = planned(100)
    with ResponseLedger(Store(tmp_path), "log/answers") as ledger:
        for question in plan[:40]:
            ledger.record(question, Answer("A.", "stop", 200, 12), size=400)
        found = estimate(plan, ledger, load_prices(), PAID)
    assert (found.requests, found.answered) == (60, 40)
    assert (found.input_tokens, found.output_tokens) == (60 * 200, 60 * 12)
    assert "40 earlier requests" in found.how


def test_the_upper_end_counts_every_request_that_may_follow(tmp_path: Path) -> None:
    plan = planned(100)
    later = [replace(question, attempt=1) for question in plan]
    other_script = replace(later[0], conversation=[{"role": "user", "content": "犬" * 384}])
    with ResponseLedger(Store(tmp_path), "log/answers") as ledger:
        once = estimate(plan, ledger, load_prices(), PAID).cost_high_usd
        twice = estimate(plan, ledger, load_prices(), PAID, follow_ups=later)
        assert once is not None
        assert twice.cost_high_usd == pytest.approx(2 * once)
        assert twice.cost_low_usd == estimate(plan, ledger, load_prices(), PAID).cost_low_usd
        # What follows a batch is sent one by one.
        by_batch = estimate(plan, ledger, load_prices(), PAID, batch=True, follow_ups=later)
        assert by_batch.cost_high_usd == pytest.approx(1.5 * once)
        # Two more bytes for each of 384 characters.
        in_kanji = estimate(plan, ledger, load_prices(), PAID, follow_ups=[other_script, *later[1:]])
        assert in_kanji.cost_high_usd == pytest.approx(2 * once + 768 * 0.15e-6)
        # 40 of both have an answer: 60 of 200 tokens, a tenth more at most, and 60 of a third more.
        for question in (*plan[:40], *later[:40]):
            ledger.record(question, Answer("A.", "stop", 200, 12), size=400)
        left = estimate(plan, ledger, load_prices(), PAID, follow_ups=later)
    tokens_in = 60 * 200 * (1.1 + 1.35)
    assert left.cost_high_usd == pytest.approx(tokens_in * 0.15e-6 + 120 * 60 * 0.60e-6)


def test_a_price_that_is_not_known_is_said(tmp_path: Path) -> None:
    unpriced = PAID.model_copy(update={"model": "gpt-99"})
    found = estimate(planned(3), ResponseLedger(Store(tmp_path), "log/answers"), load_prices(), unpriced)
    assert found.cost_low_usd is None
    assert "cost unknown" in found.summary


async def prompt_tokens(model: ChatModel, messages: list[Message]) -> int | None:
    async with model:
        return (await model.send(messages, {"max_tokens": 1})).answer.prompt_tokens


@pytest.mark.slow
def test_the_models_own_tokenizer_counts_what_the_model_is_charged_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    prompt = load_prompt("small", "soundbible", Form.SINGLE)
    messages = list(prompt.messages(["Ein Hund bellt; 犬が吠える \N{DOG}"]))
    asked = Request(prompt.version, MODEL_NAME, {"max_tokens": 1}, ["x"], 0, messages)
    with running_model(port) as url:
        settings = ModelSettings(base_url=url, model=MODEL_NAME)
        found = estimate([asked], ResponseLedger(Store(tmp_path), "log/answers"), load_prices(), settings)
        charged = asyncio.run(prompt_tokens(ChatModel(settings), messages))
    assert found.input_tokens == charged
    assert "own tokenizer" in found.how
    assert found.cost == "no cost"
    assert charged is not None and charged <= most_tokens(messages, {})
