"""The commands `wavcaps backup` and `wavcaps restore`, as a person runs them, on an instance with runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from tests.support.paths import ROOT
from wavcaps_assets.backup import command
from wavcaps_assets.lane.runs import Job, _origin
from wavcaps_assets.store.storage import Store

INSTANCE = "telemetry: {enabled: false}\nrun_retries: {enabled: true, max_retries: 1}\n"
pytestmark = pytest.mark.slow

STARTED = dg.DagsterRunStatus.STARTED


@dg.asset(pool="site")
def sounds() -> None:
    print("what the step printed")  # noqa: T201


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """A home that is used, and an empty one."""
    for name in [name for name in os.environ if name.startswith("WAVCAPS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "old"))
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dagster.yaml").write_text(INSTANCE)
    yield tmp_path / "old", tmp_path / "new"


def run(*arguments: str) -> Result:
    wavcaps = {"backup": command.backup, "restore": command.restore}[arguments[0]]
    return CliRunner().invoke(wavcaps, arguments[1:])


def use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(home))


def test_the_instance_continues_and_no_run_stays_in_progress(
    homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = homes
    Store(old / "store").write_bytes("tables/sounds/all.parquet", b"table")
    Store(old / "store").write_bytes("audio/a/b/c.flac", b"sound")
    job = dg.define_asset_job("crawl").resolve(asset_graph=dg.Definitions([sounds]).resolve_asset_graph())
    with dg.DagsterInstance.get() as instance:
        done = dg.materialize([sounds], instance=instance)
        # Dagster keeps events without a run in a database of their own.
        instance.report_runless_asset_event(dg.AssetMaterialization("brought"))
        statuses = [STARTED, dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.QUEUED]
        origin = _origin(Job("wavcaps_assets", "crawl"), ROOT)
        runs = {
            status: instance.create_run_for_job(job, status=status, remote_job_origin=origin)
            for status in statuses
        }
        instance.event_log_storage.initialize_concurrency_limit_to_default("site")
        instance.event_log_storage.set_concurrency_slots("site", 1)
        claim = instance.event_log_storage.claim_concurrency_slot("site", runs[STARTED].run_id, "sounds")
        assert claim.is_claimed
        # The instance is open: its databases have write-ahead logs, as those of a daemon.
        made = run("backup", str(tmp_path / "b.tar.zst"))
    assert made.exit_code == 0, made.output
    assert "instance: sqlite" in made.output and "left out: audio: 1 files" in made.output

    use(new, monkeypatch)
    output = run("restore", str(tmp_path / "b.tar.zst"))
    assert output.exit_code == 0, output.output
    assert f"the run {runs[STARTED].run_id} was in progress, and has ended" in output.output
    assert "Copy the audio to its place" in output.output
    assert Store(new / "store").read_bytes("tables/sounds/all.parquet") == b"table"
    with dg.DagsterInstance.get() as instance:
        found = {run.run_id: run.status for run in instance.get_runs()}
        assert found == {
            done.run_id: dg.DagsterRunStatus.SUCCESS,
            runs[STARTED].run_id: dg.DagsterRunStatus.FAILURE,
            runs[dg.DagsterRunStatus.CANCELING].run_id: dg.DagsterRunStatus.CANCELED,
            # The daemon starts it.
            runs[dg.DagsterRunStatus.QUEUED].run_id: dg.DagsterRunStatus.QUEUED,
        }
        event = instance.get_latest_materialization_event(dg.AssetKey("sounds"))
        assert event is not None and event.run_id == done.run_id
        brought = dg.AssetKey("brought")
        assert instance.get_latest_materialization_event(brought) is not None
        assert instance.event_log_storage.get_concurrency_info("site").active_slot_count == 0
        # The daemon starts it again.
        failed = instance.get_run_by_id(runs[STARTED].run_id)
        assert failed is not None and failed.tags["dagster/will_retry"] == "true"
        logs = instance.all_logs(runs[STARTED].run_id)
        assert any("when the backup of" in str(entry.message) for entry in logs)
    assert not list(tmp_path.rglob(".restoring"))

    again = run("restore", str(tmp_path / "b.tar.zst"))
    assert again.exit_code == 1 and "is not empty" in again.output
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "other"))
    monkeypatch.setenv("WAVCAPS_STATE", str(tmp_path / "other_state"))
    used = run("restore", str(tmp_path / "b.tar.zst"))
    assert used.exit_code == 1 and "the instance of" in used.output and "is not empty" in used.output
    assert not (tmp_path / "other").exists()
    only = run("restore", "--store-only", str(tmp_path / "b.tar.zst"))
    assert only.exit_code == 0, only.output
    assert (tmp_path / "other" / "tables" / "sounds" / "all.parquet").read_bytes() == b"table"


def test_another_database_is_refused_before_anything_is_written(
    homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = homes
    with dg.DagsterInstance.get() as instance:
        instance.get_runs_count()
    Store(old / "store").write_bytes("tables/sounds/all.parquet", b"table")
    assert run("backup", str(tmp_path / "b.tar.zst")).exit_code == 0
    use(tmp_path / "mistyped", monkeypatch)
    output = run("backup", str(tmp_path / "m.tar.zst"))
    assert output.exit_code == 1 and "there is no folder" in output.output and "DAGSTER_HOME" in output.output
    address = "{postgres: {postgres_url: 'postgresql://me:planted-password@127.0.0.1:1/none'}}"
    (new / "dagster.yaml").write_text(f"{INSTANCE}storage: {address}\n")
    use(new, monkeypatch)
    output = run("restore", str(tmp_path / "b.tar.zst"))
    assert output.exit_code == 1 and "configured for postgres" in output.output
    assert "planted-password" not in output.output and not (new / "store").exists()
    (old / "dagster.yaml").write_text(f"{INSTANCE}storage: {{mysql: {{mysql_url: 'mysql://x'}}}}\n")
    use(old, monkeypatch)
    output = run("backup", str(tmp_path / "c.tar.zst"))
    assert output.exit_code == 1 and "neither in Postgres nor in SQLite" in output.output
    assert not (tmp_path / "c.tar.zst").exists()
