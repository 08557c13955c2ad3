"""The table of costs, against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.costs import cost_by, costs
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import LLM_COSTS

ANSWER = Answer("1. A dog.\n2. A cat.", "stop", 1000, 100, cost_usd=0.25)


def test_costs_by_source_model_prompt_and_month(store: Store) -> None:
    def asked(text: str, model: str = "gpt-4o-mini") -> Request:
        return Request("v", model, {}, [text, "cat"], 0)

    with ResponseLedger(store, "log/answers") as ledger:
        ledger.record(asked("a"), ANSWER, source="freesound")
        ledger.record(asked("b"), replace(ANSWER, finish_reason="length"), source="freesound")
        ledger.record(asked("c"), replace(ANSWER, refusal=True, cost_usd=0.5), source="bbc")
        # No cost was recorded: by the table 0.00021 USD; of the other model nobody knows.
        ledger.record(asked("d"), replace(ANSWER, cost_usd=None))
        ledger.record(asked("e", "mystery"), replace(ANSWER, cost_usd=None), source="bbc")
        table = costs(ledger.records(), load_prices())
    assert table.schema.equals(LLM_COSTS.arrow)
    found = {(row["source"], row["model"]): row for row in table.to_pylist()}
    free = found["freesound", "gpt-4o-mini"]
    assert free == {
        "source": "freesound",
        "model": "gpt-4o-mini",
        "prompt_version": "v",
        "month": f"{utc_now():%Y-%m}",
        "requests": 2,
        "texts": 4,
        "answers": 1,
        "prompt_tokens": 2000,
        "completion_tokens": 200,
        "unpriced": 0,
        "cost_usd": 0.5,
    }
    assert found["bbc", "gpt-4o-mini"]["answers"] == 0
    assert found["unknown", "gpt-4o-mini"]["cost_usd"] == pytest.approx(0.00021)
    assert (found["bbc", "mystery"]["unpriced"], found["bbc", "mystery"]["cost_usd"]) == (1, 0.0)
    assert cost_by(table, "source", "model")["bbc"] == {"gpt-4o-mini": 0.5, "mystery": 0.0}


def test_no_answers_no_costs(store: Store) -> None:
    assert costs(ResponseLedger(store, "log/answers").records(), load_prices()).num_rows == 0
