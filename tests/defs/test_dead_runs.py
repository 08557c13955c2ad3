"""Runs whose process is gone are ended, so that their partitions are taken up again."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from wavcaps_assets.defs import dead_runs
from wavcaps_assets.defs.dead_runs import LAUNCHER_TAG, booted_at, end_dead_runs


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """What a run's process could be."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def started(instance: dg.DagsterInstance, pid: int, **tags: str) -> str:
    """A run as Dagster's default launcher leaves it."""
    run = dg.DagsterRun(
        job_name="crawl_freesound", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags
    )
    instance.add_run(run)
    data = EngineEventData({"pid": dg.MetadataValue.text(str(pid))})
    instance.report_engine_event(f"Started process for run (pid: {pid}).", run, data)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> str | None:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        end_dead_runs(context)
        return context.cursor


def test_a_run_whose_process_is_gone_is_ended_at_the_second_look(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = started(instance, process.pid, **{LAUNCHER_TAG: "{}"})
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0.001)
    tick(instance, tick(instance))
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
    process.kill()
    process.wait()
    cursor = tick(instance)
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
    tick(instance, cursor)
    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_number_that_another_process_got_after_a_restart_is_not_believed(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = started(instance, process.pid, **{LAUNCHER_TAG: "{}"})
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0.001)
    monkeypatch.setattr(dead_runs, "booted_at", lambda: booted_at() + 10 * 365 * 24 * 3600)
    tick(instance, tick(instance))
    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_another_launcher_started_is_left_to_it(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    process.kill()
    process.wait()
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0.001)
    run_id = started(instance, process.pid)
    tick(instance, tick(instance))
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
