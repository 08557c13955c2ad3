"""The code of today reads the store and continues the instance that an older version wrote: see README.md."""

from __future__ import annotations

import json
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.support.paths import ROOT
from wavcaps_assets.crawl.history import Event, History
from wavcaps_assets.crawl.ledger import ledger_of, statuses
from wavcaps_assets.definitions import build
from wavcaps_assets.lane.runs import Job, run_job
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.provenance.trace import trace
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.render import write_report

ARCHIVE = Path(__file__).parent / "home.tar.xz"
STAGES = ("filtered_clips", "llm_captions", "captions", "manifest")


@dataclass(frozen=True)
class OldHome:
    """The unpacked archive, and an instance on it."""

    folder: Path
    tables: TableStore
    instance: dg.DagsterInstance

    @property
    def store(self) -> Store:
        return self.tables.store

    def answers(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "store" / ANSWERS).glob("*.jsonl")}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldHome]:
    folder = tmp_path_factory.mktemp("home")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        # Nothing listens there once the probe is closed: neither a source nor a model.
        nobody = str(probe.getsockname()[1])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(folder))
        environment.setenv("WAVCAPS_STORE", str(folder / "store"))
        environment.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", nobody)
        environment.setenv("WAVCAPS_EMBEDDED_MODEL_PORT", nobody)
        with dg.DagsterInstance.get() as instance:
            yield OldHome(folder, TableStore(Store(folder / "store")), instance)


@pytest.mark.slow
def test_every_table_is_read(old: OldHome) -> None:
    root = old.folder / "store" / "tables"
    read = 0
    for path in sorted(root.rglob("*.parquet")):
        key, partition = path.relative_to(root).parent.parts, path.name.removesuffix(".parquet")
        dropped = partition.endswith(".dropped")
        table = (
            old.tables.read_dropped(key, [partition.removesuffix(".dropped")])
            if dropped
            else old.tables.read(key, [partition])
        )
        written = pq.read_table(path)
        assert table.select(written.column_names).equals(
            written.cast(table.select(written.column_names).schema)
        )
        read += 1
    assert read == 87


def test_histories_and_ledgers_go_on(old: OldHome) -> None:
    for source in all_sources(Settings()):
        for partition in source.partitions():
            stored = old.tables.read([source.name, "ledger"], [partition])
            assert ledger_of(old.tables, source.name, partition).equals(stored)
            raw = old.tables.read([source.name, "raw_clips"], [partition])
            found = {row["clip_id"]: row["status"] for row in statuses(stored).to_pylist()}
            assert found.keys() >= set(raw["clip_id"].to_pylist())
            assert set(found.values()) <= {"stored", "gone"}
    with History(old.store, "soundbible", "catalogue") as history:
        before = history.table().num_rows
        history.add(Event.GONE, "soundbible-9501", "20261201T000000000000-00000000")
    with History(old.store, "soundbible", "catalogue") as history:
        assert history.table().num_rows == before + 1


def test_the_response_ledger_has_every_answer(old: OldHome) -> None:
    lines = [line for content in old.answers().values() for line in content.splitlines()]
    keys = {json.loads(line)["key"] for line in lines}
    with ResponseLedger(old.store, ANSWERS) as ledger:
        assert len(ledger) == len(keys) > 0


def test_the_way_of_a_clip_is_shown(old: OldHome) -> None:
    (row, *_) = old.tables.read(["wavcaps"]).filter(pc.field("source") == "freesound").to_pylist()
    with ResponseLedger(old.store, ANSWERS) as ledger:
        found = trace(old.tables, ledger, row["clip_id"])
    assert row["caption"] in found.as_text()


@pytest.mark.slow
@pytest.mark.parametrize("source", ["freesound", "bbc_sound_effects", "soundbible", "audioset_sl"])
def test_the_schedules_see_what_was_materialized(old: OldHome, source: str) -> None:
    repository = build(Settings()).get_repository_def()
    schedule = repository.get_schedule_def(f"crawl_{source}_missing")
    at = datetime(2026, 12, 1, 12, 30, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=old.instance, repository_def=repository, scheduled_execution_time=at
    ) as context:
        evaluated = schedule.evaluate_tick(context)
    assert not evaluated.run_requests, evaluated


def test_the_instance_has_its_checks(old: OldHome) -> None:
    key = dg.AssetCheckKey(dg.AssetKey("captions"), "caption_rules")
    record = old.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.status.value == "SUCCEEDED"
    assert old.instance.get_materialized_partitions(dg.AssetKey("manifest")) == {
        source.name for source in all_sources(Settings())
    }


@pytest.mark.slow
def test_the_report_is_rendered(old: OldHome) -> None:
    write_report(old.tables, all_sources(Settings()), DEMO_EXPERIMENT)
    page = (old.folder / "store" / "report.html").read_text()
    caption = old.tables.read(["wavcaps"])["caption"][0].as_py()
    assert caption in page
    assert all(f'id="{part}-title"' in page for part in ("training", "scores", "paper"))


def same_rows(one: pa.Table, other: pa.Table, *ignored: str) -> bool:
    names = [name for name in one.column_names if name not in ignored]
    return bool(one.select(names).sort_by("clip_id").equals(other.select(names).sort_by("clip_id")))


@pytest.mark.slow
def test_captions_are_made_again_without_a_request(old: OldHome) -> None:
    """The last test: it writes. Neither a model nor a source can be reached."""
    sources = [source.name for source in all_sources(Settings())]
    before = {stage: old.tables.read([stage], sources) for stage in STAGES}
    dropped = {stage: old.tables.read_dropped([stage], sources) for stage in STAGES}
    answers = old.answers()
    for source in sources:
        # Asset checks that fail make it raise.
        run_job(old.instance, Job("wavcaps_assets", "caption_source", source), ROOT)
    assert old.answers() == answers
    for stage in STAGES:
        # Older tables have no start of AudioSet's clips and, from stage 2 on, no events; their raw clips do.
        added = ("start_s", "events")
        assert same_rows(old.tables.read([stage], sources), before[stage], *added), stage
        assert same_rows(old.tables.read_dropped([stage], sources), dropped[stage], "detail"), stage
    assert old.tables.read(["wavcaps"], [WHOLE]).num_rows == before["manifest"].num_rows
