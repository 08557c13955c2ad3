"""Runs whose process is gone are ended, so that their partitions are taken up again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.events import EngineEventData
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.storage.tags import MAX_RETRIES_TAG

from wavcaps_assets.defs import dead_runs
from wavcaps_assets.defs.dead_runs import LAUNCHER_TAG, address_of, end_dead_runs, is_dead, is_process
from wavcaps_assets.defs.own_tags import tag_of
from wavcaps_assets.defs.processes import PROCESS_TAG, host_of, this_host
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.tables import RECORDINGS


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


def tag(pid: int, **changes: str) -> str:
    """Where a run's process is, as it records it."""
    here = this_host()
    assert here is not None
    return json.dumps({**asdict(here), "pids": [pid, 1], **changes})


def started(instance: dg.DagsterInstance, pid: int, process_tag: str | None = None, **tags: str) -> str:
    """A run as Dagster's default launcher leaves it, by default on this host, which it has recorded."""
    tags[PROCESS_TAG] = tag(pid) if process_tag is None else process_tag
    return launched(instance, pid, **tags)


def launched(instance: dg.DagsterInstance, pid: int, **tags: str) -> str:
    """A run that has recorded nothing itself."""
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_of_two_processes_that_were_started_the_one_at_work_counts(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0.001)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run_id = started(instance, ended.pid, tag(process.pid), **{LAUNCHER_TAG: "{}"})
    run = instance.get_run_by_id(run_id)
    data = EngineEventData({"pid": dg.MetadataValue.text(str(process.pid))})
    instance.report_engine_event(f"Started process for run (pid: {process.pid}).", run, data)
    tick(instance, tick(instance))
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
    process.kill()
    process.wait()
    tick(instance, tick(instance))
    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


@pytest.mark.slow
def test_a_run_of_before_the_machine_started_is_dead_whoever_has_its_number(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = tag(process.pid, boot="another start")
    run_id = started(instance, process.pid, earlier, **{LAUNCHER_TAG: "{}"})
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0.001)
    tick(instance, tick(instance))
    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"name": "another machine"}, {"pid_namespace": "pid:[1]"}, {"pids": [2]}, None]
)
def test_a_process_of_elsewhere_is_not_judged_from_here(
    instance: dg.DagsterInstance,
    process: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str] | None,
) -> None:
    process.kill()
    process.wait()
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0.001)
    unknown = "" if changes is None else tag(process.pid, **{"boot": "another start", **changes})
    run_id = started(instance, process.pid, unknown, **{LAUNCHER_TAG: "{}"})
    tick(instance, tick(instance))
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED


@pytest.mark.parametrize(
    ("port", "dead"), [pytest.param(4000, True, id="the same"), pytest.param(4001, False, id="another")]
)
def test_a_run_of_a_container_that_this_one_replaced_is_dead(
    instance: dg.DagsterInstance, port: int, dead: bool
) -> None:
    """Its address stayed, as in Compose; its name, its processes and their numbers are new."""
    origin = GrpcServerCodeLocationOrigin(host="assets", port=4000, location_name="wavcaps_assets")
    of_before = tag(17, name="4f1c0a9d2b11 ", pid_namespace="pid:[1]")
    run_id = started(instance, 17, of_before, **{LAUNCHER_TAG: json.dumps({"host": "assets", "port": port})})
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert is_dead(instance, run, this_host(), address_of(origin)) is dead
    # The daemon's own code servers have no address that lasts.
    assert not is_dead(instance, run, this_host(), address_of(None))


@pytest.mark.parametrize("name", [PROCESS_TAG, "wavcaps/process"])
def test_a_run_of_before_a_restart_is_dead_also_if_an_earlier_version_started_it(
    instance: dg.DagsterInstance, name: str
) -> None:
    run = instance.get_run_by_id(launched(instance, 17, **{name: tag(17, boot="of another time")}))
    assert run is not None
    assert is_dead(instance, run, this_host(), None)


@pytest.mark.parametrize("alive", [True, False])
def test_a_run_that_was_started_again_is_not_judged_by_where_the_one_before_was(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], alive: bool
) -> None:
    """Dagster copies the tags. In a container that was started again, a process can have the same number."""
    if not alive:
        process.kill()
        process.wait()
    origin = GrpcServerCodeLocationOrigin(host="assets", port=4000, location_name="wavcaps_assets")
    tags = {
        LAUNCHER_TAG: json.dumps({"host": "assets", "port": 4000}),
        tag_of(PROCESS_TAG): "the run before",
    }
    of_before = tag(process.pid, name="4f1c0a9d2b11 ", pid_namespace="pid:[1]")
    run = instance.get_run_by_id(started(instance, process.pid, of_before, **tags))
    assert run is not None
    assert is_dead(instance, run, this_host(), address_of(origin)) is not alive


@pytest.mark.slow
@pytest.mark.parametrize(
    ("port", "alive", "dead"),
    [
        pytest.param(4000, False, True, id="it is gone"),
        pytest.param(4000, True, False, id="it runs"),
        pytest.param(4001, False, False, id="of another server"),
    ],
)
def test_a_run_that_recorded_nothing_is_judged_by_the_server_that_started_it(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], port: int, alive: bool, dead: bool
) -> None:
    """As when the database was gone before the run could say where it is."""
    origin = GrpcServerCodeLocationOrigin(host="assets", port=4000, location_name="wavcaps_assets")
    if not alive:
        process.kill()
        process.wait()
    tags = {LAUNCHER_TAG: json.dumps({"host": "assets", "port": port})}
    run = instance.get_run_by_id(launched(instance, process.pid, **tags))
    assert run is not None
    assert is_dead(instance, run, this_host(), address_of(origin)) is dead
    assert not is_dead(instance, run, this_host(), address_of(None))


def test_a_process_that_ended_unnoticed_does_not_run(process: subprocess.Popen[bytes]) -> None:
    assert is_process(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_process(process.pid)


@pytest.mark.slow
def test_a_run_records_where_its_process_is(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    @dg.asset(io_manager_key="io_manager")
    def recordings() -> pa.Table:
        return RECORDINGS.empty()

    store = StoreResource(root=str(tmp_path / "store"))
    resources = {"io_manager": TableIOManager(store=store)}
    result = dg.materialize([recordings], instance=instance, resources=resources)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert host_of(run, os.getpid()) == this_host()
    assert host_of(run, 10**8) is None


@pytest.mark.slow
def test_a_run_of_a_terminal_that_was_killed_is_ended_and_not_started_again(
    instance: dg.DagsterInstance, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensors would wait for it without end."""
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0.001)
    run_id = started(instance, process.pid)
    tick(instance, tick(instance))
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
    process.kill()
    process.wait()
    tick(instance, tick(instance))
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert run.tags[MAX_RETRIES_TAG] == "0"
