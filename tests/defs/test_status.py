"""The state of every source, from a real instance: paused, blocked, and with no source at all."""

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from tests.support.mail_server import mail_server
from wavcaps_assets.clock import utc_now
from wavcaps_assets.definitions import build
from wavcaps_assets.defs.failing_checks import by_source, failing
from wavcaps_assets.defs.pauses import PAUSE_CAUSE_TAG, PAUSED_TAG
from wavcaps_assets.defs.resources import store_of
from wavcaps_assets.defs.status import as_markdown, pause_of, room_of, status_of
from wavcaps_assets.operations.command import alerts, status
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "freesound,soundbible")
    with dg.DagsterInstance.get() as made:
        yield made


def evaluated(instance: dg.DagsterInstance, key: list[str], passed: bool, **more: Any) -> None:
    """A check's outcome, as a run stores it."""
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(key), check_name="schema", passed=passed, blocking=True, **more
        )
    )


@pytest.mark.slow
def test_the_table_in_the_ui_and_on_the_command_line(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = utc_now() + timedelta(hours=5)
    tags = {
        "dagster/partition": "catalogue",
        PAUSED_TAG: until.isoformat(timespec="seconds"),
        PAUSE_CAUSE_TAG: "outage",
    }
    run = dg.DagsterRun(job_name="crawl_soundbible", status=dg.DagsterRunStatus.SUCCESS, tags=tags)
    instance.add_run(run)
    evaluated(instance, ["captions"], False, partition="freesound")
    evaluated(instance, ["captions"], True, partition="soundbible")
    evaluated(instance, ["manifest"], False, partition="freesound", severity=dg.AssetCheckSeverity.WARN)
    evaluated(instance, ["soundbible", "audio"], False, partition="catalogue")
    monkeypatch.setenv("WAVCAPS_LLM__BUDGET_MONTH_USD", "20")
    settings = Settings()
    repository = build(settings).get_repository_def()
    store = store_of(settings).tables()
    table, room = status_of(instance, repository.asset_graph, store, all_sources(settings), settings)
    freesound, soundbible = table.to_pylist()
    assert freesound["blocked_by"] == ["captions: schema"]
    assert soundbible["blocked_by"] == ["soundbible/audio: schema [catalogue]"]
    assert freesound["paused_until"] is None and soundbible["paused_by"] == "crawl: outage"
    assert abs(soundbible["paused_until"] - until) < timedelta(seconds=1)
    assert {row["state"] for row in (freesound, soundbible)} == {"never crawled"}
    assert (room.budget, freesound["budget_left_usd"]) == ("20.00 of 20.00 USD", 20.0)
    assert freesound["disk_left_bytes"] > 0
    assert "crawl: outage" in as_markdown(table)

    printed = CliRunner().invoke(status)
    assert printed.exit_code == 0, printed.output
    assert "blocked by: captions: schema" in printed.output and "20.00 of 20.00 USD" in printed.output

    monkeypatch.setenv("WAVCAPS_PROMPT", "nope")
    printed = CliRunner().invoke(status)
    assert "blocked by: WAVCAPS_PROMPT: there is no prompt preset 'nope'" in printed.output

    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "")
    none, room = status_of(instance, repository.asset_graph, store, [], settings)
    assert none.num_rows == 0 and as_markdown(none) == "*no source takes part*"


def test_captions_that_no_sensor_starts_again_are_blocked(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    settings = Settings()
    sources = [source for source in all_sources(settings) if source.name == "soundbible"]

    def blocked_after(status: dg.DagsterRunStatus) -> list[str]:
        tags = {"dagster/partition": "soundbible"}
        instance.add_run(dg.DagsterRun(job_name="caption_source", status=status, tags=tags))
        graph = dg.Definitions().resolve_asset_graph()
        table, _ = status_of(instance, graph, store_of(settings).tables(), sources, settings)
        found: list[str] = table.to_pylist()[0]["blocked_by"]
        return found

    assert blocked_after(dg.DagsterRunStatus.FAILURE) == blocked_after(dg.DagsterRunStatus.FAILURE) == []
    (third,) = blocked_after(dg.DagsterRunStatus.FAILURE)
    assert third.startswith("captions: 3 runs have failed")
    assert blocked_after(dg.DagsterRunStatus.SUCCESS) == []
    (cancelled,) = blocked_after(dg.DagsterRunStatus.CANCELED)
    assert "was cancelled by a person: start the job by hand" in cancelled


def test_a_pause_is_the_one_that_lasts_longer(instance: dg.DagsterInstance) -> None:
    source = next(one for one in all_sources(Settings()) if one.name == "soundbible")
    assert pause_of(instance, source) is None
    now = utc_now()
    for job, partition, hours, cause in (
        ("crawl_soundbible", "catalogue", 1, "quota"),
        ("caption_source", "soundbible", 9, "budget"),
    ):
        tags = {
            "dagster/partition": partition,
            PAUSED_TAG: (now + timedelta(hours=hours)).isoformat(),
            PAUSE_CAUSE_TAG: cause,
        }
        instance.add_run(dg.DagsterRun(job_name=job, status=dg.DagsterRunStatus.SUCCESS, tags=tags))
    found = pause_of(instance, source)
    assert found is not None and found.by == "captions: budget"
    # A run that went on since is not paused.
    tags = {"dagster/partition": "soundbible"}
    instance.add_run(dg.DagsterRun(job_name="caption_source", status=dg.DagsterRunStatus.SUCCESS, tags=tags))
    found = pause_of(instance, source)
    assert found is not None and found.by == "crawl: quota"


def test_a_check_of_the_set_blocks_every_source(instance: dg.DagsterInstance) -> None:
    evaluated(instance, ["wavcaps"], False)
    keys = [dg.AssetCheckKey(dg.AssetKey("wavcaps"), "schema")]
    blocked = by_source(failing(instance, keys), all_sources(Settings()))
    assert blocked == {"freesound": ["wavcaps: schema"], "soundbible": ["wavcaps: schema"]}
    evaluated(instance, ["wavcaps"], True)
    assert failing(instance, keys) == []


def test_a_failed_check_blocks_until_it_is_evaluated_again(instance: dg.DagsterInstance) -> None:
    """A run plans its checks, and may die before them."""

    @dg.asset
    def wavcaps() -> None: ...

    @dg.asset_check(asset=wavcaps)
    def schema() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    graph = dg.Definitions(assets=[wavcaps], asset_checks=[schema]).resolve_asset_graph()
    evaluated(instance, ["wavcaps"], False)
    instance.create_run_for_job(dg.define_asset_job("build").resolve(asset_graph=graph))
    keys = [dg.AssetCheckKey(dg.AssetKey("wavcaps"), "schema")]
    assert [str(check) for check in failing(instance, keys)] == ["wavcaps: schema"]
    evaluated(instance, ["wavcaps"], True)
    assert failing(instance, keys) == []


def test_a_test_message_is_sent_to_each_channel(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = CliRunner().invoke(alerts, ["test"])
    assert nothing.exit_code == 1 and "no channel is set" in nothing.output
    with mail_server() as mail:
        email = {
            "host": "127.0.0.1",
            "port": mail.port,
            "security": "none",
            "sender": "a@example.org",
            "recipients": "b@example.org",
        }
        monkeypatch.setenv("WAVCAPS_ALERTS__EMAIL", json.dumps(email))
        monkeypatch.setenv("WAVCAPS_ALERTS__SLACK_URL", "http://127.0.0.1:9/planted-secret-path")
        sent = CliRunner().invoke(alerts, ["test"])
    assert sent.exit_code == 1 and "email: delivered" in sent.output
    assert "slack: not delivered" in sent.output and "planted" not in sent.output
    ((_, message),) = mail.messages
    assert message["Subject"] == "WavCaps: A test of the alerts"


def test_the_disk_of_the_instance_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, settings = tmp_path / "home", Settings(store=str(tmp_path / "store"), state=tmp_path / "state")
    free = {home: 5, tmp_path / "store": 7, tmp_path / "state": 6}
    for folder in free:
        folder.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free[path]))
    assert room_of(Store(tmp_path / "store"), settings, home).disk_left_bytes == 5
