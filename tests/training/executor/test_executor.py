"""The CUDA executor, with real runs, real step processes and declared devices."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from multiprocessing.connection import Listener
from pathlib import Path

import dagster as dg
import pytest

from tests.support.paths import ROOT
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
from wavcaps_training.executor.config import (
    ON_MISSING_CUDA_VARIABLE,
    OnMissingCuda,
    default_on_missing_cuda,
)
from wavcaps_training.executor.devices import DeviceError, DeviceSlots, find_devices
from wavcaps_training.executor.executor import check_steps, local_capacity
from wavcaps_training.executor.gpu_tags import devices_wanted, gpu_tags

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

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


ONE, TWO, THREE, HALF = Fraction(1), Fraction(2), Fraction(3), Fraction(1, 2)


def test_slots_are_given_whole_or_not_at_all(tmp_path: Path) -> None:
    mine, others = (DeviceSlots(tmp_path, ["0", "GPU-a/1", "2"]) for _ in range(2))
    one = mine.acquire(ONE)
    assert one is not None and one.devices == ("0",)
    assert others.acquire(THREE) is None
    rest = others.acquire(TWO)
    assert rest is not None and rest.devices == ("GPU-a/1", "2")
    assert mine.acquire(ONE) is None
    with rest:
        pass
    again = mine.acquire(TWO)
    assert again is not None and again.devices == ("GPU-a/1", "2")


def test_shares_of_a_device_come_to_one_at_most_and_a_whole_device_is_not_shared(tmp_path: Path) -> None:
    slots = [DeviceSlots(tmp_path, ["0", "1"]) for _ in range(6)]
    wanted = ["0.5", "0.45", "0.05", "1", "0.05"]
    leases = [one.acquire(Fraction(share)) for one, share in zip(slots, wanted, strict=False)]
    assert [lease and lease.devices for lease in leases] == [("0",), ("0",), ("0",), ("1",), None]
    assert leases[1] is not None and leases[3] is not None
    slots[4].leave()
    with leases[1]:
        pass
    assert slots[5].acquire(ONE) is None
    slots[5].leave()
    again = slots[5].acquire(Fraction("0.45"))
    assert again is not None and again.devices == ("0",)
    with leases[3]:
        pass
    whole = slots[0].acquire(ONE)
    assert whole is not None and whole.devices == ("1",)


def test_a_step_that_waits_for_more_is_not_overtaken(tmp_path: Path) -> None:
    first, large, small = (DeviceSlots(tmp_path, ["0", "1"]) for _ in range(3))
    running = first.acquire(ONE)
    assert running is not None
    assert large.acquire(TWO) is None
    assert small.acquire(HALF) is None
    with running:
        pass
    assert small.acquire(HALF) is None
    both = large.acquire(TWO)
    assert both is not None and both.devices == ("0", "1")
    with both:
        pass
    assert small.acquire(HALF) is not None


def test_a_step_that_waits_no_longer_makes_room(tmp_path: Path) -> None:
    first, large, small = (DeviceSlots(tmp_path, ["0", "1"]) for _ in range(3))
    running = first.acquire(ONE)
    assert running is not None and large.acquire(TWO) is None and small.acquire(ONE) is None
    large.leave()
    assert small.acquire(ONE) is not None


def test_a_lock_folder_that_cannot_be_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match="set `lock_dir`"):
        DeviceSlots(tmp_path / "file", ["0"]).acquire(ONE)


@pytest.mark.parametrize(
    "value", ["half", "0", "0.0", "-1", "1.5", "0.33", "", "1/2", "1e1", "nan", "\u0661", " 1"]
)
def test_a_tag_that_is_no_number_of_devices_is_refused(value: str) -> None:
    with pytest.raises(DeviceError, match=r"number of CUDA devices.*share of one in twentieths"):
        devices_wanted({"wavcaps/gpu": value})


def test_tags_say_a_number_of_devices_or_a_share_of_one() -> None:
    assert devices_wanted({}) == 0
    assert devices_wanted({"wavcaps/gpu": "2"}) == 2
    assert devices_wanted({"wavcaps/gpu": "0.05"}) == Fraction(1, 20)
    assert [devices_wanted(gpu_tags(devices)) for devices in (1, 0.5, 2.0)] == [1, HALF, 2]
    with pytest.raises(DeviceError, match=r"'1\.5'"):
        gpu_tags(1.5)


def test_the_environment_chooses_what_happens_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ON_MISSING_CUDA_VARIABLE, raising=False)
    assert default_on_missing_cuda() is OnMissingCuda.fail
    monkeypatch.setenv(ON_MISSING_CUDA_VARIABLE, "cpu")
    assert default_on_missing_cuda() is OnMissingCuda.cpu
    monkeypatch.setenv(ON_MISSING_CUDA_VARIABLE, "gpu")
    with pytest.raises(ValueError, match="WAVCAPS_ON_MISSING_CUDA is 'gpu': it must be fail or cpu"):
        default_on_missing_cuda()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    with Listener(("127.0.0.1", 0), authkey=cuda_steps.AUTHKEY) as listener:
        monkeypatch.setenv(cuda_steps.TEST_PORT_VARIABLE, str(listener.address[1]))
        yield Steps(listener)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


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


def test_on_one_device_gpu_steps_run_one_after_the_other(
    instance: dg.DagsterInstance, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "7")
    run = start(instance, "two", max_concurrent=2)
    one = steps.await_start()
    steps.release(one)
    other = steps.await_start()
    steps.release(other)
    assert run.result().success
    assert {one, other} == {"first", "second"}
    log = log_of(instance, run.result().run_id)
    assert log.index(("STEP_SUCCESS", one)) < log.index(("STEP_WORKER_STARTING", other))
    assert steps.seen("CUDA_VISIBLE_DEVICES") == {"first": "7", "second": "7"}


def test_steps_that_need_half_a_device_share_one(
    instance: dg.DagsterInstance, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "0,1")
    run = start(instance, "shares", max_concurrent=4)
    assert steps.await_starts(3) == {"half", "other_half", "first"}
    steps.release("half", "other_half", "first")
    assert run.result().success
    visible = steps.seen("CUDA_VISIBLE_DEVICES")
    assert visible["half"] == visible["other_half"]
    assert {visible["half"], visible["first"]} == {"0", "1"}


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
    two = local_capacity(find_devices({"WAVCAPS_CUDA_DEVICES": "0,1"}))
    check_steps({"modest": TWO, "plain": Fraction(0)}, two, OnMissingCuda.cpu)
    with pytest.raises(DeviceError, match="step greedy needs 3 CUDA devices and this machine has 2"):
        check_steps({"modest": TWO, "greedy": THREE}, two, OnMissingCuda.cpu)


def test_a_run_without_gpu_steps_needs_no_device(tmp_path: Path) -> None:
    none = local_capacity(find_devices({"PATH": str(tmp_path)}))
    check_steps({"plain": Fraction(0)}, none, OnMissingCuda.fail)


def test_a_step_that_dies_is_failed_or_retried_and_its_device_is_free(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "0")
    result = execute(instance, "dying", max_concurrent=2)
    failures = failures_of(result)
    assert failures.keys() == {"killed", "silent"}
    assert "killed by SIGKILL" in failures["killed"]
    assert "exit code 0 and reported neither success nor failure" in failures["silent"]
    log = log_of(instance, result.run_id)
    assert log.index(("STEP_UP_FOR_RETRY", "killed_once")) < log.index(("STEP_SUCCESS", "killed_once"))


def test_a_device_is_not_free_before_the_last_process_that_trains_on_it_is_gone(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "0")
    monkeypatch.setenv(cuda_steps.RANKS_FOLDER_VARIABLE, str(tmp_path))
    run = start(instance, "ranks", lock_dir=str(tmp_path / "locks"))
    step, *ranks = (wait_for_pid(tmp_path / name) for name in ("step", "rank0", "rank1"))
    slots = DeviceSlots(tmp_path / "locks", ["0"])
    # The step with the launcher of its processes; these are in groups of their own.
    os.killpg(step, signal.SIGKILL)
    assert "killed by SIGKILL" in failures_of(run.result())["with_ranks"]
    for rank in ranks:
        assert slots.acquire(ONE) is None
        os.kill(rank, signal.SIGKILL)
    while (lease := slots.acquire(ONE)) is None:
        time.sleep(0.05)
    assert lease.devices == ("0",)


def wait_for_pid(path: Path) -> int:
    while not path.exists() or not path.read_text():
        time.sleep(0.05)
    return int(path.read_text())


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
            str(ROOT),
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
            wait_until_logged(instance, "waits: other steps use the CUDA devices")
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
