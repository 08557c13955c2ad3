"""The CUDA executor with Ray as its engine, on a real cluster of one machine that declares two GPUs."""

import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.ray_cluster import free_ports, serving_ray
from tests.training.executor import cuda_steps
from tests.training.executor.executor_runs import (
    Steps,
    error_of,
    execute,
    failures_of,
    log_of,
    start,
    wait_until_logged,
)

pytest.importorskip("dagster_ray", reason="dagster-ray is not installed: the extra `ray` has it")
pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` has it")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Ray gives up jobs that wait for longer; its own default would be 15 min.
JOB_START_TIMEOUT_S = 6


def ray_worker_above(process: int) -> int:
    """The process of Ray's that a job's process is below."""
    while not Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::"):
        status = Path(f"/proc/{process}/status").read_text()
        process = int(status.split("PPid:")[1].split()[0])
    return process


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """The address of a cluster's dashboard."""
    with serving_ray({"RAY_JOB_START_TIMEOUT_SECONDS": str(JOB_START_TIMEOUT_S)}, gpus=2) as address:
        yield address


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    # GPU steps get their devices from Ray; those that are declared here are none of theirs.
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "")
    with Listener(("127.0.0.1", 0), authkey=cuda_steps.AUTHKEY) as listener:
        monkeypatch.setenv(cuda_steps.TEST_PORT_VARIABLE, str(listener.address[1]))
        yield Steps(listener)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def on_ray(address: str) -> dict[str, Any]:
    return {
        "engine": "ray",
        "ray": {"address": address, "env_vars": [cuda_steps.TEST_PORT_VARIABLE]},
        "max_concurrent": 4,
    }


def test_gpu_steps_have_different_devices_and_those_that_wait_long_get_one_in_the_end(
    instance: dg.DagsterInstance, steps: Steps, ray_address: str
) -> None:
    run = start(instance, "three", **on_ray(ray_address))
    running = steps.await_starts(2)
    (waiting,) = {"first", "second", "third"} - running
    wait_until_logged(instance, f'"{waiting}" in Ray job')
    # Long enough for Ray to give the job up, and for the executor to hand it in again.
    wait_until_logged(instance, "-again")
    steps.release(*running)
    assert steps.await_start() == waiting
    steps.release(waiting)
    assert run.result().success
    visible = steps.seen("CUDA_VISIBLE_DEVICES")
    assert {visible[step] for step in running} == {"0", "1"}
    ends = [steps.reports[step]["end"] for step in running]
    assert steps.reports[waiting]["start"] > min(ends)
    assert set(steps.seen("WAVCAPS_DEVICE").values()) == {"cuda"}


def test_half_devices_are_shared_and_steps_without_a_gpu_stay_here(
    instance: dg.DagsterInstance, steps: Steps, ray_address: str
) -> None:
    run = start(instance, "shares_beside_plain", **on_ray(ray_address))
    assert steps.await_starts(4) == {"half", "other_half", "first", "plain"}
    steps.release("half", "other_half", "first", "plain")
    assert run.result().success
    visible = steps.seen("CUDA_VISIBLE_DEVICES")
    assert visible["half"] == visible["other_half"]
    assert {visible["half"], visible["first"]} == {"0", "1"}
    assert visible["plain"] == ""
    assert steps.seen("WAVCAPS_DEVICE")["plain"] == "cpu"
    entries = instance.all_logs(run.result().run_id)
    on_cluster = {entry.step_key for entry in entries if "in Ray job" in entry.message}
    assert on_cluster == {"half", "other_half", "first"}


def test_a_step_that_needs_more_than_the_cluster_has_fails_at_once(
    instance: dg.DagsterInstance, ray_address: str
) -> None:
    result = execute(instance, "greedy_beside_plain", **on_ray(ray_address))
    assert not result.success
    error = error_of(result)
    assert "step greedy needs 4 CUDA devices" in error
    assert "no machine of the Ray cluster has more than 2" in error
    assert not [event for event, _ in log_of(instance, result.run_id) if event.startswith("STEP_")]


def test_a_step_that_dies_on_the_cluster_is_failed_or_retried(
    instance: dg.DagsterInstance, steps: Steps, ray_address: str
) -> None:
    result = execute(instance, "dying", **on_ray(ray_address))
    failures = failures_of(result)
    assert failures.keys() == {"killed", "silent"}
    assert "(FAILED)" in failures["killed"] and "exit code" in failures["killed"]
    assert "(SUCCEEDED) and reported neither success nor failure" in failures["silent"]
    log = log_of(instance, result.run_id)
    assert log.index(("STEP_UP_FOR_RETRY", "killed_once")) < log.index(("STEP_SUCCESS", "killed_once"))


def test_a_step_whose_worker_is_killed_is_retried(
    instance: dg.DagsterInstance, steps: Steps, ray_address: str
) -> None:
    run = start(instance, "one_stubborn", **on_ray(ray_address))
    steps.await_start()
    os.kill(ray_worker_above(steps.reports["stubborn"]["process"]), signal.SIGKILL)
    steps.await_start()
    steps.release("stubborn")
    assert run.result().success
    assert ("STEP_UP_FOR_RETRY", "stubborn") in log_of(instance, run.result().run_id)


def test_a_cluster_that_does_not_answer_is_an_error_with_what_to_do(instance: dg.DagsterInstance) -> None:
    (port,) = free_ports(1)
    result = execute(instance, "one", **on_ray(f"http://127.0.0.1:{port}"))
    assert not result.success
    assert f"the Ray cluster at http://127.0.0.1:{port} does not answer" in error_of(result)
    assert "address of its dashboard" in error_of(result)
