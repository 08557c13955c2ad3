"""Every way to materialize partitions writes exactly these partitions, and checks them: over the web UI's
own requests, the command line and the schedule, with a real daemon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.sources.packs import sound, write_pack
from tests.support.dagster_host import SELECTOR, Host, host, wait_until
from tests.support.graphql import LAUNCH_BACKFILL, LAUNCH_RUN, execution
from tests.support.paths import ROOT
from wavcaps_assets.definitions import build
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = [pytest.mark.slow, pytest.mark.alone]

MONTHS = ["2022-09", "2022-10", "2022-11"]
SOURCES = ["freesound", "bbc_sound_effects"]
PACK_IDS = [12_345, 99_999, 200_000, 212_345]
LANE = ["filtered_clips", "llm_captions", "captions", "manifest", "caption_comparison"]
# Without a language model.
BY_RULES = {
    "ops": {
        "llm_captions": {"config": {"method": "rules"}},
        "caption_comparison": {"config": {"first": {"method": "rules"}}},
    }
}
BACKFILL = """
query Backfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status error { message } }
  }
}
"""
TRY_SCHEDULE = """
mutation Try($selector: ScheduleSelector!, $timestamp: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $timestamp) {
    __typename
    ... on DryRunInstigationTick {
      evaluationResult { runRequests { jobName tags { key value } } error { message } }
    }
  }
}
"""


class Pipeline:
    """The host, and the tables that its runs write."""

    def __init__(self, dagster: Host) -> None:
        self.dagster = dagster
        self.tables = TableStore(Store(Settings().store))

    def backfill(self, **params: Any) -> None:
        """Launches a backfill as the UI does, and waits for its success."""
        data = self.dagster.graphql(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        assert data["__typename"] == "LaunchBackfillSuccess", data

        def status() -> Any:
            found = self.dagster.graphql(BACKFILL, id=data["backfillId"])["partitionBackfillOrError"]
            assert "FAIL" not in found["status"], (found, self.failures())
            return found["status"]

        wait_until(lambda: status().startswith("COMPLETED"), 600, lambda: (status(), self.failures()))

    def launch(self, job: str, **params: Any) -> dg.DagsterRun:
        """Launches one run as the UI does, and waits for its end."""
        sent = execution(job, params.pop("tags", {}), **params)
        data = self.dagster.graphql(LAUNCH_RUN, params=sent)["launchPipelineExecution"]
        assert data["__typename"] == "LaunchRunSuccess", data
        return self.ended(data["run"]["runId"])

    def ended(self, run_id: str) -> dg.DagsterRun:
        def run() -> dg.DagsterRun:
            found = self.dagster.instance.get_run_by_id(run_id)
            assert found is not None
            return found

        wait_until(lambda: run().is_finished, 300, lambda: run().status)
        return run()

    def failures(self) -> list[str]:
        """What the failed steps of all runs said."""
        runs = self.dagster.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        return [
            str(entry.dagster_event.step_failure_data.error)
            for run in runs
            for entry in self.dagster.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
            if entry.dagster_event is not None
        ]

    def checked(self) -> dict[dg.AssetCheckKey, set[str | None]]:
        """The partitions that each check has results of."""
        found: dict[dg.AssetCheckKey, set[str | None]] = defaultdict(set)
        for run in self.dagster.instance.get_runs():
            kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
            for entry in self.dagster.instance.all_logs(run.run_id, of_type=kind):
                assert entry.dagster_event is not None
                result = entry.dagster_event.asset_check_evaluation_data
                found[result.asset_check_key].add(result.partition)
        return found

    def require(self, key: Sequence[str], partitions: Sequence[str]) -> None:
        """An asset has tables of exactly these partitions, known to Dagster and checked."""
        assert self.tables.partitions(key) == sorted(partitions), self.failures()
        asset = dg.AssetKey(key)
        assert self.dagster.instance.get_materialized_partitions(asset) == set(partitions)
        checked = self.checked()
        for check in build(Settings()).resolve_asset_graph().asset_check_keys:
            if check.asset_key == asset:
                assert checked[check] == set(partitions), check


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    corpus = synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=18, scenes=10)
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment, running_server(corpus) as url:
        environment.setenv("DAGSTER_HOME", str(home))
        environment.setenv("WAVCAPS_STORE", str(home / "store"))
        environment.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        environment.setenv("WAVCAPS_FREESOUND_DATA_PACKS__PATH", str(home / "packs"))
        write_pack(home / "packs", [sound(number) for number in PACK_IDS])
        with host(home) as dagster:
            yield Pipeline(dagster)


def paths(*keys: Sequence[str]) -> list[dict[str, list[str]]]:
    return [{"path": list(key)} for key in keys]


def test_several_partitions_from_an_asset_s_page(pipeline: Pipeline) -> None:
    pipeline.backfill(assetSelection=paths(["freesound", "raw_clips"]), partitionNames=MONTHS)
    pipeline.require(["freesound", "raw_clips"], MONTHS)


@pytest.mark.soak
def test_several_partitions_of_several_assets_from_the_graph(pipeline: Pipeline) -> None:
    keys = [["freesound", name] for name in ("raw_clips", "audio", "ledger")]
    pipeline.backfill(assetSelection=paths(*keys), partitionNames=MONTHS)
    for key in keys:
        pipeline.require(key, MONTHS)


@pytest.mark.soak
def test_several_partitions_of_data_packs(pipeline: Pipeline) -> None:
    names = ["0000000-0099999", "0200000-0299999"]
    keys = [["freesound_data_packs", name] for name in ("raw_clips", "audio", "ledger")]
    pipeline.backfill(assetSelection=paths(*keys), partitionNames=names)
    for key in keys:
        pipeline.require(key, names)
    stored = {name: sorted(pipeline.tables.read(keys[1], [name])["clip_id"].to_pylist()) for name in names}
    clips = [f"freesound_data_packs-{number}" for number in PACK_IDS]
    assert stored == {names[0]: clips[:2], names[1]: clips[2:]}


@pytest.mark.soak
def test_a_backfill_of_a_job(pipeline: Pipeline) -> None:
    partition_set = {
        "repositorySelector": SELECTOR,
        "partitionSetName": "crawl_bbc_sound_effects_partition_set",
    }
    pipeline.backfill(selector=partition_set, partitionNames=["catalogue"])
    for name in ("raw_clips", "audio", "ledger"):
        pipeline.require(["bbc_sound_effects", name], ["catalogue"])


@pytest.mark.soak
def test_the_whole_lane_of_several_sources(pipeline: Pipeline) -> None:
    pipeline.backfill(
        assetSelection=paths(*([name] for name in LANE)), partitionNames=SOURCES, runConfigData=BY_RULES
    )
    for name in LANE:
        pipeline.require([name], SOURCES)


@pytest.mark.soak
def test_one_partition_from_the_graph_and_one_from_the_command_line(pipeline: Pipeline) -> None:
    key = ["audioset_sl", "raw_clips"]
    run = pipeline.launch(
        "__ASSET_JOB", assetSelection=paths(key), assetCheckSelection=None, tags={"dagster/partition": "eval"}
    )
    assert run.status is dg.DagsterRunStatus.SUCCESS, pipeline.failures()
    pipeline.require(key, ["eval"])
    command = ["materialize", "--select", "audioset_sl/raw_clips", "-m", "wavcaps_assets.definitions"]
    on_the_command_line("asset", *command, "--partition", "train")
    pipeline.require(key, ["eval", "train"])
    refused = on_the_command_line("asset", *command, "--partition-range", "train...eval", passes=False)
    assert "single-run backfill policy" in refused
    pipeline.require(key, ["eval", "train"])


@pytest.mark.soak
def test_the_runs_that_a_schedule_requests(pipeline: Pipeline) -> None:
    schedule = {**SELECTOR, "scheduleName": "crawl_soundbible_missing"}
    tried = pipeline.dagster.graphql(TRY_SCHEDULE, selector=schedule, timestamp=time.time())
    requests = tried["scheduleDryRun"]["evaluationResult"]["runRequests"]
    (request,) = requests
    tags = {tag["key"]: tag["value"] for tag in request["tags"]}
    run = pipeline.launch("crawl_soundbible", tags=tags)
    assert run.status is dg.DagsterRunStatus.SUCCESS, pipeline.failures()
    for name in ("raw_clips", "audio", "ledger"):
        pipeline.require(["soundbible", name], ["catalogue"])


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[0]},
        {"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[2]},
    ],
)
def test_a_run_that_is_not_of_one_partition_fails_and_writes_nothing(
    pipeline: Pipeline, tags: dict[str, str]
) -> None:
    key = ["freesound", "raw_clips"]
    before = pipeline.tables.store.sizes("raw_clips") | pipeline.tables.store.sizes("tables")
    run = pipeline.launch("__ASSET_JOB", assetSelection=paths(key), assetCheckSelection=[], tags=tags)
    assert run.status is dg.DagsterRunStatus.FAILURE
    checks = [{"assetKey": {"path": key}, "name": name} for name in ("schema", "clip_id_unique")]
    run = pipeline.launch("__ASSET_JOB", assetSelection=[], assetCheckSelection=checks, tags=tags)
    assert run.status is dg.DagsterRunStatus.FAILURE
    said = "\n".join(pipeline.failures())
    assert "freesound/raw_clips has partitions, and this run is not for one of them" in said
    assert pipeline.tables.partitions(key) == MONTHS
    assert pipeline.tables.store.sizes("raw_clips") | pipeline.tables.store.sizes("tables") == before


def on_the_command_line(*arguments: str, passes: bool = True) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "dagster", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) is passes, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_a_table_that_an_older_version_wrote_for_a_range_is_not_read(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    tables = TableStore(Store(tmp_path))
    months = {month: pipeline.tables.read(["freesound", "raw_clips"], [month]) for month in MONTHS}
    for partition, table in [*months.items(), (None, months[MONTHS[-1]])]:
        tables.write(["freesound", "raw_clips"], partition, table)
    assert tables.partitions(["freesound", "raw_clips"]) == MONTHS
    assert tables.read(["freesound", "raw_clips"]).num_rows == sum(
        table.num_rows for table in months.values()
    )
