"""Prices against sums done by hand, and tables that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavcaps_assets.llm.prices import FREE, Price, PriceError, is_own_host, load_prices
from wavcaps_assets.llm.records import Answer
from wavcaps_assets.llm.settings import ModelSettings


def test_costs_are_those_worked_out_by_hand() -> None:
    price = load_prices().price("gpt-4o-mini")
    assert price is not None
    # 675,000 requests of 900 tokens in and 15 out: 607.5 M x 0.15 + 10.125 M x 0.60.
    assert price.cost(607_500_000, 10_125_000) == pytest.approx(91.125 + 6.075)
    assert price.cost(607_500_000, 10_125_000, batch=True) == pytest.approx(48.6)
    assert price.cost_of(Answer("", "stop", 1000, 100)) == pytest.approx(0.00021)
    assert price.cost_of(Answer("", "stop", 1000, 100, batch=True)) == pytest.approx(0.000105)
    assert price.cost_of(Answer("", "stop", None, 100)) is None


def test_a_snapshot_has_its_models_price_unless_it_has_its_own() -> None:
    prices = load_prices()
    assert prices.price("gpt-4o-mini-2024-07-18") == prices.price("gpt-4o-mini")
    assert prices.price("gpt-4o-2024-08-06") == Price(2.5, 10.0, 0.5)
    assert prices.price("gpt-4o-2024-05-13") == Price(5.0, 15.0, 0.5)
    assert prices.price("gpt-4o-mini-audio") is None


@pytest.mark.parametrize(
    ("url", "model", "free", "expected"),
    [
        ("https://api.openai.com/v1", "gpt-4o-mini", None, Price(0.15, 0.6, 0.5)),
        ("https://api.openai.com/v1", "gpt-99", None, None),
        ("http://127.0.0.1:8000/v1", "my-model", None, FREE),
        ("http://127.0.0.1:8000/v1", "my-model", False, None),
        ("http://127.0.0.1:8000/v1", "gpt-4o-mini", None, Price(0.15, 0.6, 0.5)),
        ("https://llm.example.org/v1", "my-model", True, FREE),
        ("https://llm.example.org/v1", "gpt-4o-mini", True, FREE),
    ],
)
def test_what_is_free(url: str, model: str, free: bool | None, expected: Price | None) -> None:
    assert load_prices().price_for(ModelSettings(base_url=url, model=model, free=free)) == expected


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://localhost:1/v1", True),
        ("http://vllm:8000/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://[::1]:80/v1", True),
        ("http://8.8.8.8/v1", False),
        ("https://api.openai.com/v1", False),
        ("", False),
    ],
)
def test_own_hosts(url: str, own: bool) -> None:
    assert is_own_host(url) is own


def test_a_users_table_replaces_ours(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('source = "mine"\nread = 2026-01-02\n[models.m]\ninput = 1\noutput = 2\n')
    prices = load_prices(path)
    assert prices.price("m") == Price(1.0, 2.0, 1.0)
    assert prices.price("gpt-4o") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source = ", "cannot be read"),
        ('source = "x"\nread = 2026-01-02\n[models.m]\ninput = -1\noutput = 2\n', "models.m.input"),
        ('source = "x"\nread = 2026-01-02\n[models.m]\ninput = inf\noutput = 2\n', "models.m.input"),
        ('source = "x"\nread = 2026-01-02\n[models.m]\ninput = 1\n', "models.m.output"),
        ('source = "x"\n[models]\n', "read"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "prices.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PriceError, match=f"WAVCAPS_LLM__PRICES.*prices.toml.*{said}"):
        load_prices(path)
