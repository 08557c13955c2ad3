"""The CUDA executor, with real runs, real step processes and declared devices."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.training import cuda_steps
from wavcaps_training.devices import DeviceError, DeviceSlots, find_devices
from wavcaps_training.executor import (
    ON_MISSING_CUDA_VARIABLE,
    OnMissingCuda,
    check_steps,
    default_on_missing_cuda,
    devices_wanted,
)

pytestmark = pytest.mark.timeout(120)

ROOT = str(Path(__file__).parents[2])

# As printed in https://docs.nvidia.com/datacenter/tesla/mig-user-guide/, with a second, whole GPU.
LISTING = """\
GPU 0: A100-SXM4-40GB (UUID: GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0)
  MIG 3g.20gb Device 0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)
  MIG 3g.20gb Device 1: (UUID: MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d)
GPU 1: A100-SXM4-40GB (UUID: GPU-4404041a-04cf-1ccf-9e70-f139a9b1e23c)
"""
MIG_0 = "MIG-c7384736-a75d-5afc-978f-d2f1294409fd"
MIG_1 = "MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d"
GPU_1 = "GPU-4404041a-04cf-1ccf-9e70-f139a9b1e23c"


@pytest.fixture
def driver(tmp_path: Path) -> dict[str, str]:
    """An environment in which `nvidia-smi -L` prints the listing."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] && /bin/cat <<END\n{LISTING}END\n')
    program.chmod(0o755)
    return {"PATH": str(tmp_path)}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, (MIG_0, MIG_1, GPU_1)),
        ("2,0", (GPU_1, MIG_0)),
        ("GPU-4404", (GPU_1,)),
        ("1,7,0", (MIG_1,)),
        ("1,-1,0", (MIG_1,)),
        ("", ()),
    ],
)
def test_devices_are_those_the_driver_lists_and_this_process_may_see(
    driver: dict[str, str], visible: str | None, expected: tuple[str, ...]
) -> None:
    environment = driver if visible is None else driver | {"CUDA_VISIBLE_DEVICES": visible}
    assert find_devices(environment).names == expected


def test_declared_devices_come_before_the_drivers(driver: dict[str, str]) -> None:
    assert find_devices(driver | {"WAVCAPS_CUDA_DEVICES": "0, 1,0"}).names == ("0", "1")
    assert find_devices(driver | {"WAVCAPS_CUDA_DEVICES": ""}).names == ()


def test_no_devices_has_a_reason(tmp_path: Path) -> None:
    none = find_devices({"PATH": str(tmp_path)})
    assert (none.names, none.source) == ((), "nvidia-smi is not installed")
    broken = tmp_path / "nvidia-smi"
    broken.write_text("#!/bin/sh\necho Driver/library version mismatch\nexit 18\n")
    broken.chmod(0o755)
    none = find_devices({"PATH": str(tmp_path)})
    assert (none.names, none.source) == ((), "nvidia-smi failed: Driver/library version mismatch")


def test_slots_are_given_whole_or_not_at_all(tmp_path: Path) -> None:
    mine, others = (DeviceSlots(tmp_path, ["0", "GPU-a/1", "2"]) for _ in range(2))
    one = mine.acquire(1)
    assert one is not None and one.devices == ("0",)
    assert others.acquire(3) is None
    rest = others.acquire(2)
    assert rest is not None and rest.devices == ("GPU-a/1", "2")
    assert mine.acquire(1) is None
    with rest:
        pass
    again = mine.acquire(2)
    assert again is not None and again.devices == ("GPU-a/1", "2")


def test_a_lock_folder_that_cannot_be_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match="set `lock_dir`"):
        DeviceSlots(tmp_path / "file", ["0"]).acquire(1)


@pytest.mark.parametrize("value", ["half", "0", "-1", "1.5", ""])
def test_a_tag_that_is_no_number_of_devices_is_refused(value: str) -> None:
    with pytest.raises(DeviceError, match="number of CUDA devices"):
        devices_wanted({"wavcaps/gpu": value})


def test_the_environment_chooses_what_happens_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ON_MISSING_CUDA_VARIABLE, raising=False)
    assert default_on_missing_cuda() is OnMissingCuda.fail
    monkeypatch.setenv(ON_MISSING_CUDA_VARIABLE, "cpu")
    assert default_on_missing_cuda() is OnMissingCuda.cpu
    monkeypatch.setenv(ON_MISSING_CUDA_VARIABLE, "gpu")
    with pytest.raises(ValueError, match="WAVCAPS_ON_MISSING_CUDA is 'gpu': it must be fail or cpu"):
        default_on_missing_cuda()


class Steps:
    """The steps that run now, as they report themselves."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._connections: dict[str, Connection[Any, Any]] = {}
        self.reports: dict[str, dict[str, Any]] = {}

    def await_start(self) -> str:
        connection = self._listener.accept()
        report = connection.recv()
        self._connections[report["step"]] = connection
        self.reports[report["step"]] = report
        return str(report["step"])

    def await_end(self, step: str) -> None:
        self.reports[step]["end"] = self._connections.pop(step).recv()

    def release(self, step: str) -> None:
        self._connections[step].send("go on")
        self.await_end(step)

    def seen(self, variable: str) -> dict[str, str]:
        return {step: report[variable] for step, report in self.reports.items()}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    with Listener(("127.0.0.1", 0), authkey=cuda_steps.AUTHKEY) as listener:
        monkeypatch.setenv(cuda_steps.TEST_PORT_VARIABLE, str(listener.address[1]))
        yield Steps(listener)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def execute(instance: dg.DagsterInstance, job: str, **config: Any) -> dg.JobExecutionResult:
    reconstructable = dg.build_reconstructable_job(
        cuda_steps.__name__, "build_job", (job,), reconstructor_working_directory=ROOT
    )
    return dg.execute_job(reconstructable, instance, run_config={"execution": {"config": config}})


def start(instance: dg.DagsterInstance, job: str, **config: Any) -> Future[dg.JobExecutionResult]:
    pool = ThreadPoolExecutor(1)
    run = pool.submit(execute, instance, job, **config)
    pool.shutdown(wait=False)
    return run


def log_of(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, str | None]]:
    """Types and steps of a run's events, in order."""
    entries = instance.all_logs(run_id)
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    return [(event.event_type_value, event.step_key) for event in events]


def error_of(result: dg.JobExecutionResult) -> str:
    (event,) = (event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    assert event.job_failure_data.error is not None
    return str(event.job_failure_data.error.message)


def test_gpu_steps_have_different_devices_and_run_beside_others(
    instance: dg.DagsterInstance, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "3,5")
    run = start(instance, "side_by_side", max_concurrent=3)
    running = {steps.await_start() for _ in range(3)}
    assert running == {"first", "second", "plain"}
    for step in running:
        steps.release(step)
    assert run.result().success
    visible = steps.seen("CUDA_VISIBLE_DEVICES")
    assert sorted([visible["first"], visible["second"]]) == ["3", "5"]
    assert visible["plain"] == ""
    assert steps.seen("WAVCAPS_DEVICE") == {"first": "cuda", "second": "cuda", "plain": "cpu"}


def test_on_the_cpu_steps_that_need_a_gpu_run_one_at_a_time(
    instance: dg.DagsterInstance, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "")
    run = start(instance, "side_by_side", max_concurrent=3, on_missing_cuda="cpu")
    order = [steps.await_start(), steps.await_start()]
    assert "plain" in order
    (one,) = {"first", "second"} & set(order)
    for step in order:
        steps.release(step)
    other = steps.await_start()
    steps.release(other)
    result = run.result()
    assert result.success
    log = log_of(instance, result.run_id)
    assert log.index(("STEP_SUCCESS", one)) < log.index(("STEP_WORKER_STARTING", other))
    assert set(steps.seen("WAVCAPS_DEVICE").values()) == {"cpu"}
    assert set(steps.seen("CUDA_VISIBLE_DEVICES").values()) == {""}


def test_without_a_device_the_run_fails_before_any_step_starts(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "")
    result = execute(instance, "side_by_side", on_missing_cuda="fail")
    assert not result.success
    error = error_of(result)
    assert "no CUDA device was found (WAVCAPS_CUDA_DEVICES is '')" in error
    assert "these steps need one: first, second." in error
    assert "on_missing_cuda: cpu" in error
    assert "WAVCAPS_ON_MISSING_CUDA=cpu" in error
    assert not [event for event, _ in log_of(instance, result.run_id) if event.startswith("STEP_")]


def test_a_step_that_needs_more_devices_than_there_are_is_refused() -> None:
    two = find_devices({"WAVCAPS_CUDA_DEVICES": "0,1"})
    check_steps({"modest": 2, "plain": 0}, two, OnMissingCuda.cpu)
    with pytest.raises(DeviceError, match="step greedy needs 3 CUDA devices and this machine has 2"):
        check_steps({"modest": 2, "greedy": 3}, two, OnMissingCuda.cpu)


def test_a_run_without_gpu_steps_needs_no_device(tmp_path: Path) -> None:
    check_steps({"plain": 0}, find_devices({"PATH": str(tmp_path)}), OnMissingCuda.fail)


def test_a_step_that_dies_is_failed_or_retried_and_its_device_is_free(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "0")
    result = execute(instance, "dying", max_concurrent=2)
    failures = {
        event.step_key: str(event.step_failure_data.error) for event in result.get_step_failure_events()
    }
    assert failures.keys() == {"killed", "silent"}
    assert "killed by SIGKILL" in failures["killed"]
    assert "exit code 0 and reported neither success nor failure" in failures["silent"]
    log = log_of(instance, result.run_id)
    assert log.index(("STEP_UP_FOR_RETRY", "killed_once")) < log.index(("STEP_SUCCESS", "killed_once"))


def test_runs_in_two_processes_share_one_device_and_a_killed_run_gives_it_back(
    instance: dg.DagsterInstance, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "0")
    other_run = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dagster",
            "job",
            "execute",
            "-m",
            cuda_steps.__name__,
            "-d",
            ROOT,
            "-j",
            "one",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with other_run:
        try:
            assert steps.await_start() == "first"
            killed = steps.reports["first"]
            run = start(instance, "two", max_concurrent=2)
            wait_until_a_step_waits(instance)
        finally:
            other_run.kill()
    steps.await_end("first")
    mine = [steps.await_start()]
    steps.release(mine[0])
    mine.append(steps.await_start())
    steps.release(mine[1])
    assert run.result().success
    assert set(mine) == {"first", "second"}
    one, two = (steps.reports[step] for step in mine)
    assert killed["end"] <= one["start"] < one["end"] <= two["start"]
    assert one["CUDA_VISIBLE_DEVICES"] == two["CUDA_VISIBLE_DEVICES"] == "0"


def wait_until_a_step_waits(instance: dg.DagsterInstance) -> None:
    """Returns once the executor of a run has said in its log that a step waits for a device."""
    while not any(
        "waits: other steps have the CUDA devices" in entry.message
        for run in instance.get_runs()
        for entry in instance.all_logs(run.run_id)
    ):
        time.sleep(0.1)
