"""Every asset and check on sources without clips: nothing to do is no error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest

from tests.support.paths import ROOT
from wavcaps_assets.definitions import build
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.lane.runs import Job, run_job
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, schema_of
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

ASSETS = "wavcaps_assets"
MONTH = "2022-09"


@dataclass(frozen=True)
class Empty:
    """An instance, and a store in which every source was crawled and has no clip."""

    instance: dg.DagsterInstance
    tables: TableStore

    def run(self, job: str, partition: str | None = None) -> None:
        run_job(self.instance, Job(ASSETS, job, partition), ROOT)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Empty]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with (
        pytest.MonkeyPatch.context() as environment,
        running_server(Corpus(root=tmp_path_factory.mktemp("corpus"), clips=())) as url,
    ):
        environment.setenv("DAGSTER_HOME", str(home))
        environment.setenv("WAVCAPS_STORE", str(home / "store"))
        environment.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        tables = TableStore(Store(home / "store"))
        for source in all_sources(Settings()):
            for partition in source.partitions():
                for name in ("raw_clips", "audio"):
                    schema = schema_of([source.name, name])
                    tables.write([source.name, name], partition, Stage(schema.empty(), DROPPED.empty()))
        with dg.DagsterInstance.get() as instance:
            yield Empty(instance, tables)


@pytest.mark.slow
def test_a_month_without_sounds_is_crawled(empty: Empty) -> None:
    empty.run("crawl_freesound", MONTH)
    for name in ("raw_clips", "audio", "ledger"):
        assert empty.tables.read(["freesound", name], [MONTH]).num_rows == 0


@pytest.mark.slow
def test_every_stage_and_the_set_are_empty(empty: Empty) -> None:
    for source in all_sources(Settings()):
        empty.run("caption_source", source.name)
    empty.run("publish")
    for key in ("captions", "manifest", "wavcaps", "training_manifest"):
        assert empty.tables.read([key]).num_rows == 0
    job = build(Settings()).resolve_job_def("publish")
    made = {key.path[-1] for key in job.asset_layer.executable_asset_keys}
    assert {"wavcaps", "llm_costs", "recordings", "training_manifest", "readability", "words"} <= made
