"""The cost of all answers by source, model, prompt version and month, from the response ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from wavcaps_assets.llm.prices import Prices, record_cost
from wavcaps_assets.llm.records import answer_in
from wavcaps_assets.tables import LLM_COSTS

UNKNOWN_SOURCE = "unknown"
COUNTED = ("requests", "texts", "answers", "prompt_tokens", "completion_tokens", "unpriced")


def costs(records: Iterable[Mapping[str, Any]], prices: Prices) -> pa.Table:
    """The table of costs.

    Args:
        records: from `ResponseLedger.records`.
        prices: for records without a cost, which older versions wrote.

    Returns:
        `tables.LLM_COSTS`, sorted by its key.
    """
    rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for record in records:
        answer = answer_in(record)
        if answer is None:
            continue
        question = record["question"]
        key = (
            str(record.get("source") or UNKNOWN_SOURCE),
            str(question.get("model") or ""),
            str(question.get("prompt_version") or ""),
            str(record.get("at") or "")[:7],
        )
        row = rows.setdefault(key, {**dict.fromkeys(COUNTED, 0), "cost_usd": 0.0})
        cost = record_cost(record, prices)
        row["requests"] += 1
        row["texts"] += len(question.get("inputs") or ())
        row["answers"] += bool(answer.text.strip()) and answer.finish_reason == "stop" and not answer.refusal
        row["prompt_tokens"] += answer.prompt_tokens or 0
        row["completion_tokens"] += answer.completion_tokens or 0
        row["unpriced"] += cost is None
        row["cost_usd"] += cost or 0.0
    return LLM_COSTS.from_rows(
        {**dict(zip(LLM_COSTS.key, key, strict=True)), **row} for key, row in sorted(rows.items())
    )


def cost_by(table: pa.Table, group: str, part: str) -> dict[str, dict[str, float]]:
    """The cost of each group, divided into parts (USD), for `plots.stacked_bars`.

    Args:
        table: `tables.LLM_COSTS`.
        group: a column, such as `source`.
        part: another, such as `model`.
    """
    costs_by: dict[str, dict[str, float]] = {}
    for row in table.to_pylist():
        parts = costs_by.setdefault(row[group], {})
        parts[row[part]] = parts.get(row[part], 0.0) + row["cost_usd"]
    return costs_by
