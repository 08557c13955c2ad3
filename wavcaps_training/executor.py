"""The CUDA executor: steps that need a GPU get devices of their own, the others run beside them.

An asset says that it needs a GPU by `op_tags={GPU_TAG: "1"}`, the number of devices. Each step runs
in a process of its own, which sees its devices and no others: `CUDA_VISIBLE_DEVICES` names them
(nothing, for a step without the tag), `WAVCAPS_DEVICE` is `cuda` or `cpu`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

import dagster as dg

# Private paths, because Dagster has no public way to write an executor that starts its own step
# processes: these are the base classes of its own Docker, Kubernetes and ECS executors.
from dagster._core.events import EngineEventData
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)
from pydantic import Field

from wavcaps_training.devices import DEVICE_VARIABLE, DeviceError, Devices, DeviceSlots, Lease, find_devices
from wavcaps_training.step_process import command_line

GPU_TAG = "wavcaps/gpu"
"""Tag of an op: how many CUDA devices its step needs."""

ON_MISSING_CUDA_VARIABLE = "WAVCAPS_ON_MISSING_CUDA"
"""Environment variable that sets the default of the executor's `on_missing_cuda`."""

POLL_INTERVAL_S = 0.5
HEALTH_CHECK_INTERVAL_S = 1
# As long as Kubernetes gives a pod: time for a training step to save where it is.
TERMINATION_GRACE_S = 30.0


class OnMissingCuda(Enum):
    """What a run does with steps that need a GPU on a machine that has none."""

    fail = "fail"
    cpu = "cpu"


def default_on_missing_cuda() -> OnMissingCuda:
    """What the environment chooses, else `fail`.

    Raises:
        ValueError: it chooses something else.
    """
    value = os.environ.get(ON_MISSING_CUDA_VARIABLE, OnMissingCuda.fail.value)
    choices = [choice.value for choice in OnMissingCuda]
    if value not in choices:
        raise ValueError(f"{ON_MISSING_CUDA_VARIABLE} is {value!r}: it must be {' or '.join(choices)}")
    return OnMissingCuda(value)


class CudaExecutorConfig(dg.Config):
    """Settings of the CUDA executor, under `execution: config:` in the run's config."""

    on_missing_cuda: OnMissingCuda = Field(
        default=default_on_missing_cuda(),
        description=(
            "On a machine without a CUDA device, `fail` stops the run before its first step; `cpu` runs "
            "the steps that need a GPU on the CPU, one at a time. The environment variable "
            f"{ON_MISSING_CUDA_VARIABLE} sets the default."
        ),
    )
    max_concurrent: int | None = Field(
        default=None,
        ge=1,
        description="steps of this run at a time; default: as many as the machine has cores",
    )
    lock_dir: str | None = Field(
        default=None,
        description=(
            "folder of the devices' lock files, the same for all runs on a machine; "
            "default: `cuda_devices` in DAGSTER_HOME"
        ),
    )


def devices_wanted(tags: Mapping[str, str]) -> int:
    """How many devices a step's tags ask for; 0 without the tag.

    Raises:
        DeviceError: the tag is not a whole number of devices.
    """
    value = tags.get(GPU_TAG)
    if value is None:
        return 0
    if not value.isdecimal() or int(value) == 0:
        raise DeviceError(f"tag {GPU_TAG} is {value!r}: it must be a number of CUDA devices, such as '1'")
    return int(value)


def check_steps(wanted: Mapping[str, int], devices: Devices, on_missing_cuda: OnMissingCuda) -> None:
    """Checks that steps can get the devices that they need.

    Args:
        wanted: number of devices, by step.

    Raises:
        DeviceError: they can't; says which steps, and what to do.
    """
    gpu_steps = [step for step, count in wanted.items() if count]
    if gpu_steps and not devices.names and on_missing_cuda is OnMissingCuda.fail:
        raise DeviceError(
            f"no CUDA device was found ({devices.source}), and these steps need one: {', '.join(gpu_steps)}. "
            "Run them on a machine with an NVIDIA GPU and its driver, or choose the CPU: "
            "`execution: {config: {on_missing_cuda: cpu}}` in this run's config, or "
            f"{ON_MISSING_CUDA_VARIABLE}=cpu in the environment for all runs."
        )
    for step in gpu_steps:
        if devices.names and wanted[step] > len(devices.names):
            raise DeviceError(
                f"step {step} needs {wanted[step]} CUDA devices and this machine has {len(devices.names)} "
                f"({devices.source}). Lower its tag {GPU_TAG}, or run it on a larger machine."
            )


class LocalStepHandler(StepHandler):
    """Runs each step in a child process, once its devices are free.

    Args:
        slots: what steps that need a GPU wait for, in the order in which they were launched.
        on_cpu: such steps run on the CPU, and each waits for one slot.
    """

    def __init__(self, slots: DeviceSlots, on_cpu: bool) -> None:
        self._slots = slots
        self._on_cpu = on_cpu
        self._waiting: dict[str, StepHandlerContext] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._found_ended: set[str] = set()
        self._replaced: list[subprocess.Popen[bytes]] = []

    @property
    def name(self) -> str:
        return "LocalStepHandler"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        step = _step_key(step_handler_context)
        if step in self._processes:
            self._replaced.append(self._processes.pop(step))
            self._found_ended.discard(step)
        if not devices_wanted(step_handler_context.step_tags[step]):
            yield self._start(step_handler_context, None)
            return
        self._waiting[step] = step_handler_context
        yield from self._start_waiting()
        if step in self._waiting:
            yield dg.DagsterEvent.engine_event(
                step_handler_context.get_step_context(step),
                f"Step {step} waits: other steps have the {'CPU' if self._on_cpu else 'CUDA devices'}.",
                EngineEventData(),
            )

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        step = _step_key(step_handler_context)
        list(self._start_waiting())
        if step in self._waiting:
            return CheckStepHealthResult.healthy()
        process = self._processes.get(step)
        if process is None:
            return CheckStepHealthResult.unhealthy("it has no process in this run.")
        if process.poll() is None:
            return CheckStepHealthResult.healthy()
        if step not in self._found_ended:
            # Its last event may have been logged after the executor last read the log.
            self._found_ended.add(step)
            return CheckStepHealthResult.healthy()
        return CheckStepHealthResult.unhealthy(_why_ended(process.returncode))

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        step = _step_key(step_handler_context)
        self._waiting.pop(step, None)
        if step in self._processes:
            yield dg.DagsterEvent.engine_event(
                step_handler_context.get_step_context(step), f"Stopping step {step}.", EngineEventData()
            )
            self._processes[step].terminate()

    def terminate_all(self) -> None:
        self._waiting.clear()
        for process in self._processes.values():
            process.terminate()

    def wait_for_all(self) -> None:
        """Waits until no step's process is left; kills what does not end in time."""
        for process in [*self._replaced, *self._processes.values()]:
            try:
                process.wait(TERMINATION_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start_waiting(self) -> Iterator[dg.DagsterEvent]:
        for step, context in list(self._waiting.items()):
            count = 1 if self._on_cpu else devices_wanted(context.step_tags[step])
            lease = self._slots.acquire(count)
            if lease is None:
                # Those behind wait too: else a step that needs several devices might never get them.
                return
            del self._waiting[step]
            with lease:
                yield self._start(context, lease)

    def _start(self, context: StepHandlerContext, lease: Lease | None) -> dg.DagsterEvent:
        step = _step_key(context)
        cuda = lease.devices if lease is not None and not self._on_cpu else ()
        environment = dict(os.environ)
        environment |= {"CUDA_VISIBLE_DEVICES": ",".join(cuda), DEVICE_VARIABLE: "cuda" if cuda else "cpu"}
        environment |= {
            variable["name"]: variable["value"] for variable in context.execute_step_args.get_command_env()
        }
        self._processes[step] = subprocess.Popen(
            # This interpreter, and not the `dagster` that PATH may or may not find.
            command_line([sys.executable, "-m", "dagster", "api", "execute_step"]),
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=lease.descriptors if lease is not None else (),
            # Ctrl-C in a terminal stops the run, and the run its steps: once, not twice.
            process_group=0,
        )
        return dg.DagsterEvent.step_worker_starting(
            context.get_step_context(step),
            message=f"Starting step {step} on {'CUDA' if cuda else 'the CPU'}.",
            metadata={
                "process": dg.MetadataValue.text(str(self._processes[step].pid)),
                "devices": dg.MetadataValue.text(", ".join(cuda) or "cpu"),
            },
        )


def _step_key(context: StepHandlerContext) -> str:
    (step,) = context.execute_step_args.step_keys_to_execute or ()
    return step


def _why_ended(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " The machine may have run out of memory." if name == "SIGKILL" else ""
        return f"its process was killed by {name}.{hint}"
    return (
        f"its process ended with exit code {code} and reported neither success nor failure; "
        "what it printed is in the output of the run's process."
    )


class CudaExecutor(StepDelegatingExecutor):
    """Gives the GPU steps of a run devices, or refuses the run before its first step."""

    def __init__(self, config: CudaExecutorConfig, devices: Devices, lock_dir: Path) -> None:
        on_cpu = not devices.names
        slots = DeviceSlots(lock_dir, ("cpu",) if on_cpu else devices.names)
        self._handler = LocalStepHandler(slots, on_cpu)
        self._config = config
        self._devices = devices
        super().__init__(
            self._handler,
            retries=RetryMode.ENABLED,
            sleep_seconds=POLL_INTERVAL_S,
            check_step_health_interval_seconds=HEALTH_CHECK_INTERVAL_S,
            max_concurrent=config.max_concurrent or os.cpu_count(),
            # So that GPU steps which could only wait don't take the place of steps that could run.
            tag_concurrency_limits=[{"key": GPU_TAG, "limit": max(1, len(devices.names))}],
        )

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        wanted = {
            step: devices_wanted(execution_plan.get_step_by_key(step).tags or {})
            for step in execution_plan.step_keys_to_execute
        }
        check_steps(wanted, self._devices, self._config.on_missing_cuda)
        try:
            yield from super().execute(plan_context, execution_plan)
        except BaseException:
            self._handler.terminate_all()
            raise
        finally:
            self._handler.wait_for_all()


@dg.executor(
    name="cuda",
    config_schema=CudaExecutorConfig.to_fields_dict(),
    requirements=dg.multiple_process_executor_requirements(),
)
def cuda_executor(init_context: dg.InitExecutorContext) -> CudaExecutor:
    """Runs each step in a process; steps tagged `wavcaps/gpu` have CUDA devices to themselves."""
    config = CudaExecutorConfig.model_validate(init_context.executor_config)
    lock_dir = Path(config.lock_dir or Path(init_context.instance.root_directory) / "cuda_devices")
    return CudaExecutor(config, find_devices(), lock_dir)
