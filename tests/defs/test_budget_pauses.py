"""A budget that is used up: real runs that end as pauses, and go on with a larger one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.llm.scripted_model import KEY, MODEL, Endpoint, asked, scripted
from wavcaps_assets.defs.captioning import captioning_assets
from wavcaps_assets.defs.captions import caption_assets
from wavcaps_assets.defs.filtering import filtering_assets
from wavcaps_assets.defs.pauses import PAUSED_TAG
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, FILTERED_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

SOURCE = "soundbible"
TEXTS = [
    f"The {size} {animal} in the yard makes its sound in the morning."
    for size, animal in product(
        ("small", "large", "young", "happy", "angry"),
        ("dog", "cat", "cow", "hen", "pig", "frog", "duck", "goat"),
    )
]
PRICES = """
source = "this test"
read = 2026-11-01
[models.scripted]
input = 1
output = 2
"""
A_TOKEN = 1e-6


def script(body: dict[str, Any]) -> str:
    lines = [line.partition(". ")[2] for line in asked(body).splitlines()]
    if '"wrong"' in lines[0]:
        said = [json.loads(line)["caption"].replace("heard", "calling") for line in lines]
    else:
        said = [f"A {' '.join(line.split()[1:3])} is heard." for line in lines]
    return "\n".join(f"{index}. {caption}" for index, caption in enumerate(said, 1))


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    with scripted(script) as endpoint:
        monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", f"{endpoint.root}/v1")
        monkeypatch.setenv("WAVCAPS_LLM__MODEL", MODEL)
        monkeypatch.setenv("WAVCAPS_LLM__API_KEY", KEY)
        monkeypatch.setenv("WAVCAPS_LLM__PRICES", str(prices))
        monkeypatch.setenv("WAVCAPS_LLM__FREE", "false")
        yield endpoint


def materialize(
    monkeypatch: pytest.MonkeyPatch,
    instance: dg.DagsterInstance,
    store: Path,
    asset: str,
    budget_usd: float = 0,
    fails: bool = False,
    also: str = "",
) -> dg.ExecuteInProcessResult:
    monkeypatch.setenv("WAVCAPS_STORE", str(store))
    monkeypatch.setenv("WAVCAPS_LLM__BUDGET_RUN_USD", str(budget_usd))
    settings = Settings()
    sources = all_sources(settings)
    if not TableStore(Store(store)).exists(["filtered_clips"], SOURCE):
        clips = [
            {"clip_id": f"{SOURCE}-{n}", "source": SOURCE, "description": text, "tags": [], "events": []}
            for n, text in enumerate(TEXTS)
        ]
        TableStore(Store(store)).write(
            ["filtered_clips"],
            SOURCE,
            Stage(FILTERED_CLIPS.from_rows(clips), DROPPED.empty()),
        )
    return dg.materialize(
        [
            *filtering_assets(sources),
            *captioning_assets(sources, embedded_model=True),
            *caption_assets(sources),
        ],
        selection=[name for name in (asset, also) if name],
        partition_key=SOURCE,
        instance=instance,
        resources=resources(settings),
        raise_on_error=not fails,
    )


def estimates(instance: dg.DagsterInstance, asset: str, run_id: str) -> list[Mapping[str, dg.MetadataValue]]:
    """The estimates on an asset's page, before a run asks anything."""
    records = instance.fetch_observations(dg.AssetKey(asset), limit=100).records
    observed = [record.asset_observation for record in records if record.asset_observation]
    said = f"what run {run_id[:8]} is about to ask"
    return [one.metadata for one in observed if one.description == said]


@pytest.mark.slow
@pytest.mark.parametrize("asset", ["llm_captions", "captions"])
def test_a_used_up_budget_ends_as_a_pause_and_a_larger_one_finishes(
    asset: str, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    with dg.DagsterInstance.ephemeral() as instance:
        for store in (whole, part):
            if asset == "captions":
                materialize(monkeypatch, instance, store, "llm_captions")
        endpoint.requests.clear()
        materialize(monkeypatch, instance, whole, asset)
        most = [most_tokens(body["messages"], body) + 2 * body["max_tokens"] for body in endpoint.requests]
        assert len(most) == 2
        endpoint.requests.clear()

        # Room for either question, and not for both: an answer is 17 tokens' worth.
        paused = materialize(monkeypatch, instance, part, asset, (max(most) + 1) * A_TOKEN)
        assert paused.success and not paused.asset_materializations_for_node(asset)
        run = instance.get_run_by_id(paused.run_id)
        assert run is not None and PAUSED_TAG in run.tags
        (estimated,) = estimates(instance, asset, paused.run_id)
        (observed,) = paused.asset_observations_for_node(asset)
        # The estimate is on the page before anything is sent, and the cost, although the run paused.
        assert estimated["requests to make"].value == 2
        assert "spent by this run (USD)" not in estimated
        assert "WAVCAPS_LLM__BUDGET_RUN_USD" in (observed.description or "")
        assert observed.metadata["estimated cost"] == estimated["estimated cost"]
        assert observed.metadata["requests made"].value == 1
        assert observed.metadata["spent by this run (USD)"].value == pytest.approx(17 * A_TOKEN)
        assert len(endpoint.requests) == 1

        finished = materialize(monkeypatch, instance, part, asset, 3 * max(most) * A_TOKEN)
        (made,) = finished.asset_materializations_for_node(asset)
        assert len(endpoint.requests) == 2
        assert made.metadata["requests to make"].value == 1
        assert made.metadata["spent by this run (USD)"].value == pytest.approx(17 * A_TOKEN)
    tables = [TableStore(Store(store)).read([asset], [SOURCE]) for store in (whole, part)]
    assert tables[0].num_rows == len(TEXTS) and tables[1].equals(tables[0])


@pytest.mark.slow
def test_both_stages_of_a_run_share_its_budget(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(monkeypatch, instance, whole, "llm_captions", also="captions")
        assert len(endpoint.requests) == 4
        most = [
            most_tokens(body["messages"], body) + 2 * body["max_tokens"] for body in endpoint.requests[2:]
        ]
        endpoint.requests.clear()
        # Room for a second question, but for the 34 tokens' worth that the first ones have taken.
        limit = (min(most) + 33) * A_TOKEN
        result = materialize(monkeypatch, instance, part, "llm_captions", limit, also="captions")
        assert result.asset_materializations_for_node("llm_captions")
        assert not result.asset_materializations_for_node("captions")
        (observed,) = result.asset_observations_for_node("captions")
        assert "this run has spent or reserved 3.4e-05 USD" in (observed.description or "")
        assert len(endpoint.requests) == 2


@pytest.mark.slow
def test_a_run_that_fails_says_what_it_has_spent(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[int] = []

    def once(body: dict[str, Any]) -> str | int:
        known.append(len(instance.fetch_observations(dg.AssetKey("llm_captions"), limit=10).records))
        return script(body) if len(withdrawn.requests) == 1 else 401

    with scripted(once) as withdrawn, dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", f"{withdrawn.root}/v1")
        failed = materialize(monkeypatch, instance, tmp_path, "llm_captions", fails=True)
        assert not failed.success
        (observed,) = failed.asset_observations_for_node("llm_captions")
    # The estimate stood on the page when the first request came.
    assert known[0] == 1
    assert "refuses the key" in (observed.description or "")
    assert observed.metadata["spent by this run (USD)"].value == pytest.approx(17 * A_TOKEN)
