"""A source captioned as a run does it: estimated, within its budget, through either way to the model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.llm.scripted_model import KEY, MODEL, PRICES, Endpoint, Followed, asked, scripted
from tests.support.rude_server import answer as rude_answer
from tests.support.rude_server import rude_server
from wavcaps_assets.captioning.comparison import Variant, compare_variants
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.prompts import Form
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.llm import progress as llm_progress
from wavcaps_assets.llm.budget import BudgetExhausted
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.costs import costs
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.session import Session
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import FILTERED_CLIPS
from wavcaps_assets.tables.imported import IMPORTED_CLIPS
from wavcaps_assets.tables.stage import Stage

SINGLE = CaptioningSettings(form=Form.SINGLE, concurrency=1, max_attempts=1)
ANIMALS = ("dog", "cat", "cow", "horse", "sheep")


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


def run(endpoint: Endpoint, folder: Path, **llm: Any) -> tuple[Stage, dict[str, Any]]:
    """The captions, and the facts that the session recorded."""
    prices = folder / "prices.toml"
    prices.write_text(PRICES)
    settings = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY, prices=prices, **llm)
    progress = Followed()
    with session_of(settings, folder / "store", progress=progress) as session:
        captioned = caption_clips(clips(*ANIMALS), "freesound", SINGLE, session)
    return captioned.stage, progress.facts


def session_of(llm: ModelSettings, folder: Path, **more: Any) -> Session:
    return Session(llm, Store(folder), limits=SINGLE.limits, label="freesound", **more)


def test_a_run_is_estimated_made_and_accounted_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wavcaps_assets")
    with scripted(answer) as endpoint:
        stage, facts = run(endpoint, tmp_path)
        _, again = run(endpoint, tmp_path)
    assert stage.kept.num_rows == 5
    assert caplog.messages[0].startswith("5 requests (0 answered already)")
    # The server counts 7 tokens in and 5 out of each: 7 + 10 USD at a dollar and two a token.
    assert facts["spent by this run (USD)"] == pytest.approx(5 * 17.0)
    assert facts["tokens in"] == 35
    assert again["requests to make"] == 0
    assert again["spent by this run (USD)"] == 0.0
    assert len(endpoint.requests) == 5
    with ResponseLedger(Store(tmp_path / "store"), ANSWERS) as ledger:
        (row,) = costs(ledger.records(), load_prices(tmp_path / "prices.toml")).to_pylist()
    assert (row["source"], row["model"], row["requests"]) == ("freesound", MODEL, 5)
    assert row["cost_usd"] == pytest.approx(85.0)


def test_a_budget_stops_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with scripted(answer) as endpoint:
        (tmp_path / "whole").mkdir()
        whole, _ = run(endpoint, tmp_path / "whole")
        # Room for two answers, at 17 USD each, and for the most that a third request can cost.
        limit = 2 * 17.0 + max(most(body) for body in endpoint.requests)
        with pytest.raises(BudgetExhausted, match="WAVCAPS_LLM__BUDGET_RUN_USD"):
            run(endpoint, tmp_path, budget_run_usd=limit)
        assert len(endpoint.requests) == 5 + 3
        rest, _ = run(endpoint, tmp_path)
    assert rest.kept.equals(whole.kept)
    assert len(endpoint.requests) == 10


def test_a_model_is_compared_with_the_floor(tmp_path: Path) -> None:
    with scripted(answer) as endpoint:
        llm = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY)
        by_rules = SINGLE.model_copy(update={"method": Method.RULES})
        variants = (
            Variant(SINGLE, session_of(llm, tmp_path / "store")),
            Variant(by_rules, session_of(llm, tmp_path / "store")),
        )
        result = compare_variants(clips(*ANIMALS), "freesound", variants, 3)
    assert (result.clips, result.first.captions) == (3, 3)
    assert len(endpoint.requests) == 3
    assert MODEL in result.as_markdown() and "rules" in result.as_markdown()


def test_captions_that_clips_came_with_are_compared_without_a_model(tmp_path: Path) -> None:
    described = clips(*ANIMALS)
    rows = [
        {"clip_id": name, "source": "freesound", "source_id": name, "captions": [f"Caption of {name}."],
         "tags": [], "events": []}
        for name in described.column("clip_id").to_pylist()[:2]
    ]  # fmt: skip
    given = SINGLE.model_copy(update={"method": Method.GIVEN})
    by_rules = SINGLE.model_copy(update={"method": Method.RULES})
    with scripted(answer) as endpoint:
        llm = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY)
        first, second = (session_of(llm, tmp_path / "store") for _ in range(2))
        variants = (Variant(given, first, IMPORTED_CLIPS.from_rows(rows)), Variant(by_rules, second))
        result = compare_variants(described, "freesound", variants, len(described))
    assert (result.first.captions, result.first.failures["no_given_caption"]) == (2, len(described) - 2)
    assert {row["first_caption"] for row in result.table.to_pylist()} >= {
        "Caption of " + rows[0]["clip_id"] + "."
    }
    assert not endpoint.requests
    with pytest.raises(ValueError, match="came without captions"):
        caption_clips(described, "freesound", given)


def test_two_models_are_compared_within_one_budget_and_by_all_that_they_were_asked(tmp_path: Path) -> None:
    """One of them answers nothing that can be taken about the cow, and is paid for that too."""

    def script(body: dict[str, Any]) -> str:
        refuses = body["model"] == "other" and "cow" in asked(body)
        return "Sorry, I cannot help with that." if refuses else answer(body)

    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES + "[models.other]\ninput = 2000000\noutput = 4000000\n")
    folder = tmp_path / "store"
    with scripted(script) as endpoint:
        llm = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY, prices=prices)
        other = llm.model_copy(update={"model": "other"})
        # Room for a request to the other, but for what the first has spent.
        with session_of(llm, folder) as session:
            caption_clips(clips("mouse"), "freesound", SINGLE, session)
        limit = 2 * most(endpoint.requests[0]) + 30.0

        def variants(run: str, budget_usd: float) -> tuple[Variant, Variant]:
            limited = [one.model_copy(update={"budget_run_usd": budget_usd}) for one in (llm, other)]
            first, second = (Variant(SINGLE, session_of(one, folder, run=run)) for one in limited)
            return first, second

        with pytest.raises(BudgetExhausted, match="this run"):
            compare_variants(clips(*ANIMALS[:3]), "freesound", variants("limited", limit), 3)
        assert [body["model"] for body in endpoint.requests[1:]] == [MODEL] * 3
        result = compare_variants(clips(*ANIMALS[:3]), "freesound", variants("free", 0.0), 3)
        assert [body["model"] for body in endpoint.requests[4:]] == ["other"] * 3
    assert (result.first.captions, result.second.captions) == (3, 2)
    assert (result.first.tokens, result.second.tokens) == (36, 36)
    assert result.first.cost_usd == pytest.approx(3 * 17.0)
    assert result.second.cost_usd == pytest.approx(3 * 34.0)


def test_progress_counts_the_texts_that_are_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wavcaps_assets")
    monkeypatch.setattr(llm_progress, "LOG_EVERY_S", 0.0)
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    progress = Followed()
    with scripted(answer) as endpoint:
        llm = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=KEY, prices=prices)
        # Four clips with two texts.
        four = clips("dog", "cat", "dog", "dog")
        with session_of(llm, tmp_path / "store", progress=progress) as session:
            caption_clips(four, "freesound", SINGLE, session)
    assert progress.done[-1] == (2, 2)
    assert progress.facts["requests made"] == 2
    assert progress.facts["cost of the answers (USD)"] == pytest.approx(34.0)
    assert progress.notes[-1].endswith(" a second, 24 tokens, 34 USD so far, about 0 minutes left")
    assert caplog.messages[-1] == f"2 of 2 texts, {progress.notes[-1]}"


def test_a_wrong_key_is_one_request_and_one_error(tmp_path: Path) -> None:
    with rude_server() as rude:
        rude.answers["/v1/chat/completions"] = rude_answer(b"{}", status="401 Unauthorized")
        llm = ModelSettings(base_url=f"{rude.url}/v1", model=MODEL, api_key=KEY)
        with session_of(llm, tmp_path) as session, pytest.raises(EndpointError, match="refuses the key"):
            caption_clips(clips(*ANIMALS), "freesound", SINGLE, session)
        assert [asked.target for asked in rude.asked] == ["/v1/chat/completions"]


def most(body: dict[str, Any]) -> float:
    """The most that a request can cost, at a dollar a token in and two a token out."""
    return most_tokens(body["messages"], body) + 2.0 * body["max_tokens"]


def test_rules_ask_nobody(tmp_path: Path) -> None:
    llm = ModelSettings(base_url="http://127.0.0.1:9/v1", model=MODEL)
    by_rules = SINGLE.model_copy(update={"method": Method.RULES})
    with session_of(llm, tmp_path / "store") as session:
        stage = caption_clips(clips("dog"), "freesound", by_rules, session).stage
    assert not (tmp_path / "store").exists()
    assert stage.kept.num_rows + stage.dropped.num_rows == 1
    assert set(stage.kept.column("model").to_pylist()) <= {"rules"}
