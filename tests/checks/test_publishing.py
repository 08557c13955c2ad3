"""Nothing bad is published, whichever job ran what; in Dagster, on tables in a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from tests.checks.manifests import good_rows
from tests.support.rows import manifest_row
from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.defs.publishing import publishing_assets
from wavcaps_assets.defs.quality import quality_checks
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Record, Source
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import CAPTIONS, DROPPED, LLM_CAPTIONS, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

SOURCE = "soundbible"
PARTS = dg.StaticPartitionsDefinition([SOURCE])
PROMPT = load_prompt("paper", SOURCE, Form.NUMBERED_LIST)


class OneSource(Source):
    name, title = SOURCE, "SoundBible"

    def partitions(self) -> list[str]:
        return ["one"]

    def records(self, network: object, partition: str) -> Iterator[Record]:
        return iter(())


class Pipeline:
    """The jobs `caption_source` and `publish`, as far as they make the manifest and the set."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.store, self.instance = StoreResource(root=str(folder)), instance

    @property
    def tables(self) -> TableStore:
        return TableStore(Store(self.store.root))

    def run(
        self, assets: list[Any], selection: list[Any], partition: str | None
    ) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            assets,
            selection=selection,
            partition_key=partition,
            instance=self.instance,
            resources={"store": self.store, "io_manager": TableIOManager(store=self.store)},
            raise_on_error=False,
        )

    def caption(self, rows: list[dict[str, Any]], thresholds: str = "") -> dg.ExecuteInProcessResult:
        @dg.asset(partitions_def=PARTS)
        def manifest() -> pa.Table:
            return MANIFEST.from_rows(manifest_row(**row) for row in rows)

        checks = quality_checks("manifest", PARTS, thresholds)
        return self.run([manifest, checks], [manifest, checks], SOURCE)

    def publish(self, thresholds: str = "") -> dg.ExecuteInProcessResult:
        _, wavcaps = publishing_assets([OneSource()], Settings(quality=thresholds))

        @dg.asset(deps=["wavcaps"])
        def downstream() -> None:
            pass

        upstream = dg.AssetSpec("manifest", partitions_def=PARTS)
        checks = quality_checks("wavcaps", None, thresholds, [SOURCE])
        return self.run([upstream, wavcaps, downstream, checks], [wavcaps, downstream, checks], None)

    def published(self) -> bytes | None:
        path = self.tables.store.path("tables/wavcaps/all.parquet")
        return path.read_bytes() if path.exists() else None


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Pipeline(tmp_path, instance)


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def failure_of(result: dg.ExecuteInProcessResult) -> tuple[str, dict[str, str]]:
    """What the step that failed says, and shows."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    shown = event.step_failure_data.user_failure_data
    assert shown is not None
    return shown.description or "", {name: str(value.value) for name, value in shown.metadata.items()}


def spoiled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"caption": row["caption"].replace(" is ", " is heard ")} for row in rows]


@pytest.mark.slow
def test_a_bad_manifest_of_another_run_does_not_replace_the_set(pipeline: Pipeline) -> None:
    good = good_rows(40)
    assert pipeline.caption(good).success and pipeline.publish().success
    before = pipeline.published()
    assert before is not None

    bad = pipeline.caption(spoiled(good))
    assert not checks_of(bad)["banned_words"].passed
    refused = pipeline.publish()
    assert not refused.success
    assert pipeline.published() == before
    assert not refused.get_asset_materialization_events()
    said, shown = failure_of(refused)
    assert "banned_words: soundbible: banned words 1 (of 40), limits: at most 0" in said
    assert "the previous set is kept" in said and "WAVCAPS_QUALITY" in said
    assert "heard" in shown["examples"] and "❌ failed | soundbible" in shown["failed checks"]

    assert pipeline.caption(good[:39]).success
    fixed = pipeline.publish()
    assert fixed.success and pipeline.published() != before
    assert all(check.passed or check.severity.value == "WARN" for check in checks_of(fixed).values())


@pytest.mark.slow
def test_the_first_set_is_not_published_where_it_is_bad(pipeline: Pipeline) -> None:
    pipeline.caption(spoiled(good_rows(20)))
    assert not pipeline.publish().success
    assert pipeline.published() is None


@pytest.mark.slow
def test_thresholds_are_those_of_the_checks(pipeline: Pipeline, tmp_path: Path) -> None:
    lenient = tmp_path / "thresholds.toml"
    lenient.write_text("[banned_words]\nerror = inf\n")
    pipeline.caption(spoiled(good_rows(20)))
    assert pipeline.publish(str(lenient)).success


@pytest.mark.slow
def test_the_drift_names_the_set_that_it_is_measured_from(pipeline: Pipeline) -> None:
    good = good_rows(40)
    first = pipeline.caption(good)
    assert "nothing" in str(checks_of(first)["drift"].metadata["compared with"].value)
    pipeline.caption(spoiled(good))
    last = checks_of(pipeline.caption(good))["drift"].metadata
    # Not the run in between, whose captions failed.
    assert last["that set's run"].value == first.run_id
    assert "passed" in str(last["compared with"].value)


def figures_of(check: dg.AssetCheckEvaluation, rule: str) -> str:
    table = str(check.metadata["figures"].value).splitlines()
    return next(line for line in table if f"| {rule} |" in line)


@pytest.mark.slow
def test_an_echo_is_measured_where_the_prompt_is_known(pipeline: Pipeline) -> None:
    rows = [row | {"prompt_version": PROMPT.version} for row in good_rows(40)]
    assert "| 0 | 40 |" in figures_of(checks_of(pipeline.caption(rows))["caption_rules"], "echo")
    leaked = next(one.caption for one in PROMPT.examples if len(one.caption.split()) > 5)
    rows[3] |= {"caption": leaked}
    found = checks_of(pipeline.caption(rows))["caption_rules"]
    assert not found.passed
    assert "| 0.025 | 40 |" in figures_of(found, "echo")
    # No preset of today has the other half's prompt.
    rows[20:] = [row | {"prompt_version": "0" * 12} for row in rows[20:]]
    assert "| 0.05 | 20 |" in figures_of(checks_of(pipeline.caption(rows))["caption_rules"], "echo")
    unknown = [row | {"prompt_version": "0" * 12} for row in rows]
    echo_figures = figures_of(checks_of(pipeline.caption(unknown))["caption_rules"], "echo")
    assert "not measured" in echo_figures and "are not known" in echo_figures


def test_of_stage_3_an_echo_is_of_the_prompt_of_stage_2(pipeline: Pipeline) -> None:
    leaked = next(one.caption for one in PROMPT.examples if len(one.caption.split()) > 5)
    captions, llm = [], []
    for row in [*good_rows(20), {"clip_id": "soundbible-x", "text": "Bells", "caption": leaked}]:
        about = {name: row[name] for name in ("clip_id", "text", "caption")} | {"source": SOURCE}
        captions.append({**about, "repairs": [], "verdict": "accept", "findings": []})
        asked = {"model": "m", "prompt_version": PROMPT.version, "attempts": 1}
        llm.append({**about, **asked})
    none = DROPPED.empty()
    # In another order: rows are joined by clip.
    llm_table = LLM_CAPTIONS.from_rows(reversed(llm))
    pipeline.tables.write(["llm_captions"], SOURCE, Stage(llm_table, none))

    @dg.asset(key="captions", partitions_def=PARTS)
    def captions_asset() -> Stage:
        return Stage(CAPTIONS.from_rows(captions), none)

    checks = quality_checks("captions", PARTS, "")
    found = pipeline.run([captions_asset, checks], [captions_asset, checks], SOURCE)
    assert "| 0.04762 | 21 |" in figures_of(checks_of(found)["caption_rules"], "echo")


@pytest.mark.slow
def test_a_manifest_that_slipped_since_it_passed_is_no_first_set(pipeline: Pipeline, tmp_path: Path) -> None:
    # Captions that slip by a row, where raw texts tell nothing: only the captions before can.
    blind = tmp_path / "thresholds.toml"
    blind.write_text("[text_mismatch]\nerror = inf\n")
    animals = ("dog", "cat", "cow", "hen", "pig", "frog", "crow", "sheep", "horse", "goose")
    rows = [
        {
            "clip_id": f"soundbible-{at}",
            "source": SOURCE,
            "text": "Take",
            "caption": f"A {name} makes a noise.",
        }
        for at, name in enumerate(animals)
    ]
    slipped = [row | {"caption": rows[at - 1]["caption"]} for at, row in enumerate(rows)]
    pipeline.caption(rows, str(blind))
    assert not checks_of(pipeline.caption(slipped, str(blind)))["drift"].passed
    refused = pipeline.publish(str(blind))
    assert pipeline.published() is None
    assert "drift moved 1 (of 10)" in failure_of(refused)[0]
    pipeline.caption(rows, str(blind))
    assert pipeline.publish(str(blind)).success
