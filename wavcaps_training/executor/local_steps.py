"""Steps as child processes on this machine; those that need a GPU start when their devices are free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler, StepHandlerContext

from wavcaps_training.executor.devices import DEVICE_VARIABLE, DeviceSlots, Lease
from wavcaps_training.executor.gpu_tags import devices_wanted
from wavcaps_training.executor.locks import LOCKS_VARIABLE
from wavcaps_training.executor.step_process import command_line

# The same as for a pod in Kubernetes: time for a training step to save its state.
TERMINATION_GRACE_S = 30.0


class LocalStepHandler(StepHandler):
    """Runs each step in a child process, when its devices are free.

    Args:
        slots: the devices that steps wait for, in the order in which the steps were launched.
        on_cpu: steps that need a GPU run on the CPU, and each waits for one slot.
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
        step = step_key_of(step_handler_context)
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
                f"Step {step} waits: other steps use the {'CPU' if self._on_cpu else 'CUDA devices'}.",
                EngineEventData(),
            )

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        step = step_key_of(step_handler_context)
        list(self._start_waiting())
        if step in self._waiting:
            return CheckStepHealthResult.healthy()
        process = self._processes.get(step)
        if process is None:
            return CheckStepHealthResult.unhealthy("it has no process in this run.")
        if process.poll() is None:
            return CheckStepHealthResult.healthy()
        if step not in self._found_ended:
            # Its last event may have been logged since the executor last read the log.
            self._found_ended.add(step)
            return CheckStepHealthResult.healthy()
        return CheckStepHealthResult.unhealthy(_why_ended(process.returncode))

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        step = step_key_of(step_handler_context)
        self._waiting.pop(step, None)
        if not self._waiting:
            self._slots.leave()
        if step in self._processes:
            yield dg.DagsterEvent.engine_event(
                step_handler_context.get_step_context(step), f"Stopping step {step}.", EngineEventData()
            )
            self._processes[step].terminate()

    def terminate_all(self) -> None:
        self._waiting.clear()
        self._slots.leave()
        for process in self._processes.values():
            process.terminate()

    def wait_for_all(self) -> None:
        """Waits until the processes of all steps have ended; kills those that do not end in time."""
        for process in [*self._replaced, *self._processes.values()]:
            try:
                process.wait(TERMINATION_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start_waiting(self) -> Iterator[dg.DagsterEvent]:
        for step, context in list(self._waiting.items()):
            wanted = Fraction(1) if self._on_cpu else devices_wanted(context.step_tags[step])
            lease = self._slots.acquire(wanted)
            if lease is None:
                # The next ones wait too. Otherwise a step that needs several devices might never get them.
                return
            del self._waiting[step]
            with lease:
                yield self._start(context, lease)

    def _start(self, context: StepHandlerContext, lease: Lease | None) -> dg.DagsterEvent:
        step = step_key_of(context)
        cuda = lease.devices if lease is not None and not self._on_cpu else ()
        locks = lease.descriptors if lease is not None else ()
        environment = dict(os.environ)
        environment |= {"CUDA_VISIBLE_DEVICES": ",".join(cuda), DEVICE_VARIABLE: "cuda" if cuda else "cpu"}
        environment |= {LOCKS_VARIABLE: ",".join(map(str, locks))}
        environment |= {
            variable["name"]: variable["value"] for variable in context.execute_step_args.get_command_env()
        }
        self._processes[step] = subprocess.Popen(
            # This interpreter, and not a `dagster` on the PATH.
            command_line([sys.executable, "-m", "dagster", "api", "execute_step"]),
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=locks,
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


def step_key_of(context: StepHandlerContext) -> str:
    """The step to launch, check or stop; the executor passes one at a time."""
    (step,) = context.execute_step_args.step_keys_to_execute or ()
    return step


def _why_ended(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " The machine may have run out of memory." if name == "SIGKILL" else ""
        return f"its process was killed by {name}.{hint}"
    return (
        f"its process ended with exit code {code} and reported neither success nor failure; "
        "its output is in the output of the run's process."
    )
