"""The CUDA executor: each step that needs a GPU gets its own devices; the other steps run without.

An asset declares that it needs a GPU with `op_tags=gpu_tags(1)`. Its step sees only its own devices:
`CUDA_VISIBLE_DEVICES` names them (none for a step without the tag), and `WAVCAPS_DEVICE` is `cuda` or `cpu`.
Each step runs in its own process on this machine. With another configuration, steps that need a GPU run on a
Ray or Kubernetes cluster instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import dagster as dg

# Private modules, because Dagster has no public interface for an executor that starts its own step processes.
# These are the base classes of its Docker, Kubernetes and ECS executors.
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)

from wavcaps_training.executor.config import (
    ON_MISSING_CUDA_VARIABLE,
    CudaExecutorConfig,
    Engine,
    OnMissingCuda,
)
from wavcaps_training.executor.devices import Capacity, DeviceError, Devices, DeviceSlots, find_devices
from wavcaps_training.executor.gpu_tags import GPU_TAG, devices_wanted
from wavcaps_training.executor.local_steps import LocalStepHandler, step_key_of
from wavcaps_training.executor.passing_over import PassingOver

POLL_INTERVAL_S = 0.5
HEALTH_CHECK_INTERVAL_S = 1


def check_steps(wanted: Mapping[str, Fraction], capacity: Capacity, on_missing_cuda: OnMissingCuda) -> None:
    """Checks that steps can get the devices that they need.

    Args:
        wanted: number of devices, by step.
        capacity: the devices that there are.
        on_missing_cuda: what to do if there are none.

    Raises:
        DeviceError: they cannot; names the steps and says what to do.
    """
    gpu_steps = [step for step, count in wanted.items() if count]
    if gpu_steps and not capacity.total and on_missing_cuda is OnMissingCuda.fail:
        raise DeviceError(
            f"no CUDA device was found ({capacity.source}), and these steps need one: "
            f"{', '.join(gpu_steps)}. "
            "Run them on a machine with an NVIDIA GPU and its driver, or choose the CPU: "
            "`execution: {config: {on_missing_cuda: cpu}}` in this run's config, or "
            f"{ON_MISSING_CUDA_VARIABLE}=cpu in the environment for all runs."
        )
    for step in gpu_steps:
        if capacity.total and wanted[step] > capacity.largest:
            raise DeviceError(
                f"step {step} needs {float(wanted[step]):g} CUDA devices and {capacity.where} "
                f"({capacity.source}). Lower its tag {GPU_TAG}, or run it on a larger machine."
            )


def local_capacity(devices: Devices) -> Capacity:
    count = len(devices.names)
    return Capacity(count, count, f"this machine has {count}", devices.source)


class RoutedSteps(StepHandler):
    """Runs steps that need a GPU on a cluster, and the others on this machine."""

    def __init__(self, local: LocalStepHandler, cluster: StepHandler) -> None:
        self._local = local
        self._cluster = cluster

    @property
    def name(self) -> str:
        return f"{self._cluster.name} for GPU steps, {self._local.name} for others"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        return self._of(step_handler_context).launch_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        return self._of(step_handler_context).check_step_health(step_handler_context)

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        return self._of(step_handler_context).terminate_step(step_handler_context)

    def _of(self, context: StepHandlerContext) -> StepHandler:
        needs_gpu = devices_wanted(context.step_tags[step_key_of(context)])
        return self._cluster if needs_gpu else self._local


class CudaExecutor(dg.Executor):
    """Gives the GPU steps of a run devices, or refuses the run before its first step."""

    def __init__(self, config: CudaExecutorConfig, instance: dg.DagsterInstance) -> None:
        self._config = config
        self._instance = instance

    @property
    def retries(self) -> RetryMode:
        return RetryMode.ENABLED

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        wanted = {
            step: devices_wanted(execution_plan.get_step_by_key(step).tags or {})
            for step in execution_plan.step_keys_to_execute
        }
        shares = [count for count in wanted.values() if count]
        cluster, capacity = self._cluster() if shares else (None, None)
        devices = Devices((), "") if capacity is not None or not shares else find_devices()
        capacity = capacity or local_capacity(devices)
        if cluster is None or not self._config.cluster_grows:
            check_steps(wanted, capacity, self._config.on_missing_cuda)
        local = LocalStepHandler(self._slots(devices), on_cpu=not devices.names)
        use_cluster = cluster is not None and (capacity.total > 0 or self._config.cluster_grows)
        # So that GPU steps that can only wait do not take the place of steps that can run.
        most_at_once = max(1, int(capacity.total / min(shares, default=Fraction(1))))
        executor = StepDelegatingExecutor(
            PassingOver(RoutedSteps(local, cluster) if cluster is not None and use_cluster else local),
            retries=self.retries,
            sleep_seconds=POLL_INTERVAL_S,
            check_step_health_interval_seconds=HEALTH_CHECK_INTERVAL_S,
            max_concurrent=self._config.max_concurrent or os.cpu_count(),
            tag_concurrency_limits=[] if use_cluster else [{"key": GPU_TAG, "limit": most_at_once}],
        )
        try:
            yield from executor.execute(plan_context, execution_plan)
        except BaseException:
            local.terminate_all()
            raise
        finally:
            local.wait_for_all()

    def _slots(self, devices: Devices) -> DeviceSlots:
        folder = self._config.lock_dir or Path(self._instance.root_directory) / "cuda_devices"
        return DeviceSlots(Path(folder), devices.names or ("cpu",))

    def _cluster(self) -> tuple[StepHandler | None, Capacity | None]:
        """The cluster that runs GPU steps, if it is not this machine, and its devices."""
        match self._config.engine:
            case Engine.ray:
                from wavcaps_training.executor.ray_steps import ray_steps

                handler = ray_steps(self._config.ray, self._config.cluster_grows)
                return handler, handler.capacity()
            case Engine.kubernetes:
                from wavcaps_training.executor.kubernetes_steps import cluster_capacity, kubernetes_steps

                return kubernetes_steps(self._instance), cluster_capacity(self._config.cluster_grows)
            case Engine.local:
                return None, None


@dg.executor(
    name="cuda",
    config_schema=CudaExecutorConfig.to_fields_dict(),
    requirements=dg.multiple_process_executor_requirements(),
)
def cuda_executor(init_context: dg.InitExecutorContext) -> CudaExecutor:
    """Runs each step in its own process; steps tagged `wavcaps/gpu` have exclusive CUDA devices."""
    config = CudaExecutorConfig.model_validate(init_context.executor_config)
    return CudaExecutor(config, init_context.instance)
