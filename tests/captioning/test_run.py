"""A source captioned as a run does it: estimated, within its budget, through either way to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.captioning.scripted_model import KEY, MODEL, Endpoint, asked, scripted
from wavcaps_assets import schemas
from wavcaps_assets.captioning.budget import BudgetExhausted
from wavcaps_assets.captioning.costs import costs
from wavcaps_assets.captioning.ledger import ANSWERS, Ledger
from wavcaps_assets.captioning.prices import load_prices
from wavcaps_assets.captioning.prompts import Form
from wavcaps_assets.captioning.run import Captioned, Way, caption_source, compare_ways
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.captioning.tokens import most_tokens
from wavcaps_assets.settings import ModelSettings
from wavcaps_assets.storage import Store

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
    return schemas.FILTERED_CLIPS.from_rows(
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
    with Ledger(store, ANSWERS) as ledger:
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
    with Ledger(Store(tmp_path / "store"), ANSWERS) as ledger:
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
    with scripted(answer) as endpoint, Ledger(store, ANSWERS) as ledger:
        llm = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY)
        by_rules = SINGLE.model_copy(update={"method": Method.RULES})
        ways = (Way(SINGLE, llm), Way(by_rules, llm))
        result = compare_ways(clips(*ANIMALS), "freesound", ways, 3, store, ledger)
    assert (result.clips, result.first.captions) == (3, 3)
    assert len(endpoint.requests) == 3
    assert MODEL in result.as_markdown() and "rules" in result.as_markdown()


def most(body: dict[str, Any]) -> float:
    """The most that a request can cost, at a dollar a token in and two a token out."""
    return most_tokens(body["messages"], body) + 2.0 * body["max_tokens"]


def test_rules_ask_nobody(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with Ledger(store, ANSWERS) as ledger:
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
