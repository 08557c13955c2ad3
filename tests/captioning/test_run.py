"""A source captioned as a run does it: estimated, within its budget, through either way to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.llm.scripted_model import KEY, MODEL, Endpoint, asked, scripted
from tests.support.rude_server import answer as rude_answer
from tests.support.rude_server import rude_server
from wavcaps_assets.captioning import run as captioning_run
from wavcaps_assets.captioning.prompts import Form
from wavcaps_assets.captioning.run import Captioned, Way, caption_source, compare_ways
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.llm.budget import BudgetExhausted
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.costs import costs
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.progress import Standing
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import FILTERED_CLIPS

SINGLE = CaptioningSettings(form=Form.SINGLE, concurrency=1, max_attempts=1)
ANIMALS = ("dog", "cat", "cow", "horse", "sheep")
PRICES = """
source = "this test"
read = 2026-11-01
[models.scripted]
input = 1000000
output = 2000000
"""


def clips(*texts: str) -> pa.Table:
    return FILTERED_CLIPS.from_rows(
        {
            "clip_id": f"freesound-{number}",
            "source": "freesound",
            "title": None,
            "description": f"The {text} in the yard makes its sound in the morning.",
            "tags": [],
            "events": [],
        }
        for number, text in enumerate(texts)
    )


def answer(body: dict[str, Any]) -> str:
    return f"A {asked(body).split()[1]} is calling in a yard."


def run(endpoint: Endpoint, folder: Path, said: list[str] | None = None, **llm: Any) -> Captioned:
    prices = folder / "prices.toml"
    prices.write_text(PRICES)
    settings = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY, prices=prices, **llm)
    store = Store(folder / "store")
    with ResponseLedger(store, ANSWERS) as ledger:
        return caption_source(
            clips(*ANIMALS),
            "freesound",
            SINGLE,
            settings,
            store,
            ledger,
            say=(said if said is not None else []).append,
        )


def test_a_run_is_estimated_made_and_accounted_for(tmp_path: Path) -> None:
    said: list[str] = []
    with scripted(answer) as endpoint:
        captioned = run(endpoint, tmp_path, said)
        again = run(endpoint, tmp_path)
    assert captioned.stage.kept.num_rows == 5
    assert said[0].startswith("5 requests (0 answered already)")
    # The server counts 7 tokens in and 5 out of each: 7 + 10 USD at a dollar and two a token.
    assert captioned.facts["spent by this run (USD)"] == pytest.approx(5 * 17.0)
    assert captioned.facts["tokens in"] == 35
    assert again.facts["requests to make"] == 0
    assert again.facts["spent by this run (USD)"] == 0.0
    assert len(endpoint.requests) == 5
    with ResponseLedger(Store(tmp_path / "store"), ANSWERS) as ledger:
        (row,) = costs(ledger.records(), load_prices(tmp_path / "prices.toml")).to_pylist()
    assert (row["source"], row["model"], row["requests"]) == ("freesound", MODEL, 5)
    assert row["cost_usd"] == pytest.approx(85.0)


def test_a_budget_stops_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with scripted(answer) as endpoint:
        (tmp_path / "whole").mkdir()
        whole = run(endpoint, tmp_path / "whole")
        # Room for two answers, at 17 USD each, and for the most that a third request can cost.
        limit = 2 * 17.0 + max(most(body) for body in endpoint.requests)
        with pytest.raises(BudgetExhausted, match="WAVCAPS_LLM__BUDGET_RUN_USD"):
            run(endpoint, tmp_path, budget_run_usd=limit)
        assert len(endpoint.requests) == 5 + 3
        rest = run(endpoint, tmp_path)
    assert rest.stage.kept.equals(whole.stage.kept)
    assert len(endpoint.requests) == 10


def test_a_model_is_compared_with_the_floor(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with scripted(answer) as endpoint, ResponseLedger(store, ANSWERS) as ledger:
        llm = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY)
        by_rules = SINGLE.model_copy(update={"method": Method.RULES})
        ways = (Way(SINGLE, llm), Way(by_rules, llm))
        result = compare_ways(clips(*ANIMALS), "freesound", ways, 3, store, ledger)
    assert (result.clips, result.first.captions) == (3, 3)
    assert len(endpoint.requests) == 3
    assert MODEL in result.as_markdown() and "rules" in result.as_markdown()


def test_two_models_are_compared_within_one_budget_and_by_all_that_they_were_asked(tmp_path: Path) -> None:
    """One of them answers nothing that can be taken about the cow, and is paid for that too."""

    def script(body: dict[str, Any]) -> str:
        refuses = body["model"] == "other" and "cow" in asked(body)
        return "Sorry, I cannot help with that." if refuses else answer(body)

    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES + "[models.other]\ninput = 2000000\noutput = 4000000\n")
    store = Store(tmp_path / "store")
    with scripted(script) as endpoint, ResponseLedger(store, ANSWERS) as ledger:
        llm = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY, prices=prices)
        other = llm.model_copy(update={"model": "other"})
        # Room for a question to the other, but for what the first has taken.
        caption_source(clips("mouse"), "freesound", SINGLE, llm, store, ledger)
        limit = 2 * most(endpoint.requests[0]) + 30.0
        limited = [one.model_copy(update={"budget_run_usd": limit}) for one in (llm, other)]
        ways = (Way(SINGLE, limited[0]), Way(SINGLE, limited[1]))
        with pytest.raises(BudgetExhausted, match="this run"):
            compare_ways(clips(*ANIMALS[:3]), "freesound", ways, 3, store, ledger)
        assert [body["model"] for body in endpoint.requests[1:]] == [MODEL] * 3
        result = compare_ways(
            clips(*ANIMALS[:3]), "freesound", (Way(SINGLE, llm), Way(SINGLE, other)), 3, store, ledger
        )
        assert [body["model"] for body in endpoint.requests[4:]] == ["other"] * 3
    assert (result.first.captions, result.second.captions) == (3, 2)
    assert (result.first.tokens, result.second.tokens) == (36, 36)
    assert result.first.cost_usd == pytest.approx(3 * 17.0)
    assert result.second.cost_usd == pytest.approx(3 * 34.0)


def test_how_far_it_is_is_told_in_texts_that_are_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captioning_run, "TOLD_EVERY_S", 0.0)
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    store, shown, said = Store(tmp_path / "store"), list[Standing](), list[str]()
    with scripted(answer) as endpoint, ResponseLedger(store, ANSWERS) as ledger:
        llm = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY, prices=prices)
        # Four clips with two texts.
        four = clips("dog", "cat", "dog", "dog")
        caption_source(four, "freesound", SINGLE, llm, store, ledger, show=shown.append, say=said.append)
    last = shown[-1]
    assert (last.done, last.total, last.requests, last.cost_usd) == (2, 2, 2, pytest.approx(34.0))
    assert last.line.endswith(" a second, 24 tokens, 34 USD so far, some 0 minutes left")
    assert said[-1] == f"2 of 2 texts, {last.line}"


def test_a_wrong_key_is_one_request_and_one_error(tmp_path: Path) -> None:
    with rude_server() as rude:
        store = Store(tmp_path)
        rude.answers["/v1/chat/completions"] = rude_answer(b"{}", status="401 Unauthorized")
        llm = ModelSettings(base_url=f"{rude.url}/v1", model=MODEL, api_key=KEY)
        with ResponseLedger(store, ANSWERS) as ledger, pytest.raises(EndpointError, match="refuses the key"):
            caption_source(clips(*ANIMALS), "freesound", SINGLE, llm, store, ledger)
        assert [asked.target for asked in rude.asked] == ["/v1/chat/completions"]


def most(body: dict[str, Any]) -> float:
    """The most that a request can cost, at a dollar a token in and two a token out."""
    return most_tokens(body["messages"], body) + 2.0 * body["max_tokens"]


def test_rules_ask_nobody(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with ResponseLedger(store, ANSWERS) as ledger:
        captioned = caption_source(
            clips("dog"),
            "freesound",
            SINGLE.model_copy(update={"method": Method.RULES}),
            ModelSettings(base_url="http://127.0.0.1:9/v1", model=MODEL),
            store,
            ledger,
        )
    stage = captioned.stage
    assert stage.kept.num_rows + stage.dropped.num_rows == 1
    assert set(stage.kept.column("model").to_pylist()) <= {"rules"}
