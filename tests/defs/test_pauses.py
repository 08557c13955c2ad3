"""A crawl whose quota is used up: a real run on a real instance, which pauses and is taken up again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.support.paths import ROOT
from wavcaps_assets.defs.pauses import PAUSED_TAG, paused_until
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.lane.runs import Job, RunWaits, run_job
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

# By a path of its own, so that Dagster loads the definitions again, with this test's settings.
MONTH = "2022-09"
RAW, AUDIO, LEDGER = (dg.AssetKey(["freesound", name]) for name in ("raw_clips", "audio", "ledger"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=18, scenes=2)


@pytest.fixture
def host(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with running_server(corpus) as url:
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        monkeypatch.setenv("WAVCAPS_FREESOUND__PAGE_SIZE", "1")
        yield url.partition("://")[2]


def allow(monkeypatch: pytest.MonkeyPatch, host: str, per_day: int | None) -> None:
    quotas = {host: {"per_minute": None, "per_day": per_day}}
    monkeypatch.setenv("WAVCAPS_NETWORK__QUOTAS", json.dumps(quotas))


@pytest.mark.slow
def test_a_crawl_pauses_at_its_quota_and_goes_on_behind_it(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job("wavcaps_assets", "crawl_freesound", MONTH)
    with dg.DagsterInstance.get() as instance:
        # One page of the listing, then nothing more today.
        allow(monkeypatch, host, per_day=1)
        with pytest.raises(RunWaits, match="used up"):
            run_job(instance, job, ROOT)
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.SUCCESS
        until = paused_until([run])
        assert until is not None and PAUSED_TAG in run.tags
        assert not instance.get_materialized_partitions(RAW)
        (observation,) = instance.fetch_observations(RAW, limit=1).records
        assert observation.asset_observation is not None
        assert "used up" in (observation.asset_observation.description or "")

        # The listing is read on; then the audio has to wait.
        allow(monkeypatch, host, per_day=5)
        with pytest.raises(RunWaits, match="used up"):
            run_job(instance, job, ROOT)
        assert instance.get_materialized_partitions(RAW) == {MONTH}
        assert not instance.get_materialized_partitions(AUDIO)
        assert not instance.get_materialized_partitions(LEDGER)
        event = instance.get_latest_materialization_event(RAW)
        assert event is not None and event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        assert metadata["pages from an interrupted crawl"].value == 1

        allow(monkeypatch, host, per_day=None)
        run_job(instance, job, ROOT)
        assert instance.get_materialized_partitions(LEDGER) == {MONTH}
        assert all(run.status is dg.DagsterRunStatus.SUCCESS for run in instance.get_runs())

    tables = TableStore(Store(Settings().store_folder))
    raw = tables.read_stage(["freesound", "raw_clips"], [MONTH])
    audio = tables.read_stage(["freesound", "audio"], [MONTH])
    assert raw.kept.num_rows == audio.kept.num_rows + audio.dropped.num_rows > 3
