"""Two ways of captioning the same clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wavcaps_assets.captioning.comparison import Paid, compare, paid_for
from wavcaps_assets.llm.records import LOST, Answer, Request, lost_record
from wavcaps_assets.llm.session import Session
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, LLM_CAPTIONS
from wavcaps_assets.tables.stage import Stage, drop


def stage(captions: dict[str, str], dropped: dict[str, str], model: str, text: str = "dog") -> Stage:
    rows: list[dict[str, Any]] = [
        {
            "clip_id": clip_id,
            "source": "freesound",
            "text": text,
            "caption": caption,
            "model": model,
            "prompt_version": "p1",
            "answer_id": f"{model}-{clip_id}",
            "attempts": 1,
        }
        for clip_id, caption in captions.items()
    ]
    aside = [drop(clip_id, "freesound", "llm_captions", reason) for clip_id, reason in dropped.items()]
    return Stage(LLM_CAPTIONS.from_rows(rows), DROPPED.from_rows(aside))


FIRST = stage({"a": "A dog barks.", "b": "A cat meows.", "c": "Rain falls."}, {"d": "llm_failure"}, "large")
SECOND = stage({"a": "a dog barks", "b": "A cat purrs.", "d": "Wind blows."}, {"c": "no_answer"}, "small")


def test_agreement_by_hand() -> None:
    result = compare(FIRST, SECOND)
    assert (result.clips, result.both, result.only_one) == (4, 2, 0)
    assert result.equal_share == 0.5
    # "a cat meows" and "a cat purrs": two of three words in order, and two of four in all.
    assert result.rouge_l == pytest.approx((1 + 2 / 3) / 2)
    assert result.overlap == pytest.approx((1 + 2 / 4) / 2)
    assert (result.first.failures, result.second.failures) == ({"llm_failure": 1}, {"no_answer": 1})
    assert result.first.mean_words == pytest.approx(8 / 3)
    rows = {row["clip_id"]: row for row in result.table.to_pylist()}
    assert rows["a"]["equal"] and not rows["b"]["equal"]
    assert (rows["c"]["second_reason"], rows["d"]["first_reason"]) == ("no_answer", "llm_failure")
    assert result.table["clip_id"].to_pylist()[-1] == "a"


PRICES = """
source = "by hand"
read = 2026-11-23
[models.large]
input = 1
output = 1
"""


def test_all_that_was_asked_is_paid_for(tmp_path: Path) -> None:
    """Answers that brought no caption, requests that were lost, and of a longer list the share."""
    pair = Request("p1", "large", {}, ["dog", "cat"], 0)
    cow = Request("p1", "large", {}, ["cow"], 0)
    unpriced = Request("p1", "small", {}, ["cow"], 0)
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    llm = ModelSettings(base_url="http://127.0.0.1:9/v1", model="large", prices=prices)
    with Session(llm, Store(tmp_path)) as session:
        ledger = session.ledger
        ledger.record(pair, Answer("1. A dog barks.\n2. A cat meows.", "stop", 100, 10, cost_usd=0.004))
        ledger.record(cow, Answer("Sorry.", "stop", 50, 5, cost_usd=0.001))
        ledger.record(unpriced, Answer("A cow moos.", "stop", 50, 5))
        lost = lost_record(cow, Answer("", LOST, cost_usd=0.01), "freesound", 1)
        ledger.record_many([lost])
        paid = paid_for({pair.key: 1, cow.key: 1, lost["key"]: 1}, session)
        assert (paid.tokens, paid.cost_usd) == (55 + 55, pytest.approx(0.002 + 0.001 + 0.01))
        assert paid_for({pair.key: 2, unpriced.key: 1}, session) == Paid(165, None)
        assert paid_for({"ab": 1}, session) == Paid(None, None)
        assert paid_for({}, session) == Paid(0, 0.0)
    result = compare(FIRST, SECOND, (Paid(330, 0.003), Paid(330, None)))
    assert (result.first.tokens, result.first.cost_usd) == (330, 0.003)
    assert (result.second.tokens, result.second.cost_usd) == (330, None)


def test_clips_that_one_was_not_given_are_left_out() -> None:
    result = compare(FIRST, stage({"a": "A dog barks."}, {}, "small"))
    assert (result.clips, result.only_one, result.equal_share) == (1, 3, 1.0)
    nothing = compare(FIRST, stage({}, {}, "small"))
    assert (nothing.clips, nothing.equal_share, nothing.table.num_rows) == (0, None, 0)
    assert "not known" in nothing.as_markdown()


def test_markdown_shows_hostile_texts_harmlessly() -> None:
    hostile = stage({"a": "A dog barks."}, {}, "small", text="![x](http://evil) | <b>")
    said = compare(hostile, stage({"a": "Rain falls."}, {}, "large")).as_markdown()
    assert "![x](" not in said and "<b>" not in said
    assert "A dog barks." in said and "Rain falls." in said
    assert "small, prompt p1" in said
