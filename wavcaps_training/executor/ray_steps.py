"""Steps as jobs of a Ray cluster, by dagster-ray, with additions to its handler of steps.

That handler does not know jobs that wait for long, jobs that end without a report, and clusters that are
gone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandlerContext
from dagster_ray.core.executor import RayStepHandler
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient
from ray.util.state import list_nodes

from wavcaps_training.executor.config import RayConfig
from wavcaps_training.executor.devices import DEVICE_VARIABLE, Capacity, DeviceError
from wavcaps_training.executor.gpu_tags import devices_wanted
from wavcaps_training.executor.local_steps import step_key_of

# Longer than a head node takes to restart.
UNREACHABLE_S = 300.0

MAX_NODES = 10_000

# ray.dashboard.modules.job.common.JobErrorType, which is not public.
WAITED_TOO_LONG = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"


def ray_steps(config: RayConfig, cluster_grows: bool) -> RaySteps:
    """Runs steps on a cluster.

    Raises:
        DeviceError: the cluster does not answer.
    """
    try:
        return RaySteps(JobSubmissionClient(config.address), config, cluster_grows)
    except (ConnectionError, RuntimeError) as error:
        raise DeviceError(
            f"the Ray cluster at {config.address or 'RAY_ADDRESS'} does not answer: {error}. "
            "Give the address of its dashboard, as in `execution: {config: {ray: {address: 'http://head:8265'}}}`."
        ) from error


class RaySteps(RayStepHandler):
    """Runs each step as a job of a Ray cluster, which assigns its devices."""

    def __init__(self, client: JobSubmissionClient, config: RayConfig, cluster_grows: bool) -> None:
        # Ray expands ${PATH} on the node. The job's command begins with `dagster`, without a folder.
        path = f"{Path(sys.executable).parent}:${{PATH}}"
        env_vars = {"PATH": path, **config.runtime_env.get("env_vars", {})}
        super().__init__(
            client=client,
            env_vars=[*config.env_vars, f"{DEVICE_VARIABLE}=cuda"],
            runtime_env={**config.runtime_env, "env_vars": env_vars},
            num_cpus=None,
            num_gpus=None,
            memory=None,
            # None, and not a dict: the handler would write a step's resources into it, for all later steps.
            resources=None,
        )
        self._cluster_grows = cluster_grows
        self._launches: dict[str, int] = {}
        self._found_ended: set[str] = set()
        self._last_answer = time.monotonic()

    def capacity(self) -> Capacity:
        """The GPUs of the cluster's machines.

        Raises:
            DeviceError: the cluster cannot be queried.
        """
        address = self.client.get_address()
        try:
            nodes = list_nodes(address=address, filters=[("state", "=", "ALIVE")], limit=MAX_NODES)
        except Exception as error:  # ray.util.state.exception.RayStateApiException, and what requests raises
            raise DeviceError(f"the Ray cluster at {address} does not list its machines: {error}") from error
        counts = [int((node.resources_total or {}).get("GPU", 0)) for node in nodes]
        largest = max(counts, default=0)
        return Capacity(
            sum(counts),
            largest,
            f"no machine of the Ray cluster has more than {largest}",
            f"at {address}: {sum(counts)} on {len(counts)} machines",
        )

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        step = step_key_of(step_handler_context)
        # The handler has one number for all steps, which takes precedence over the step's own.
        self.num_gpus = float(devices_wanted(step_handler_context.step_tags[step]))
        yield from super().launch_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        job = self._get_ray_job_submission_id(step_handler_context)
        try:
            details = self.client.get_job_info(job)
        except Exception as error:
            if "status code 404" in str(error):
                return CheckStepHealthResult.unhealthy(f"Ray knows no job {job}.")
            silent_s = time.monotonic() - self._last_answer
            if silent_s < UNREACHABLE_S:
                return CheckStepHealthResult.healthy()
            return CheckStepHealthResult.unhealthy(
                f"Ray has not answered for {silent_s:.0f} s about job {job}: {error}"
            )
        self._last_answer = time.monotonic()
        if details.status == JobStatus.PENDING:
            return self._check_waiting(step_handler_context, job)
        if not details.status.is_terminal():
            return CheckStepHealthResult.healthy()
        return self._check_ended(step_handler_context, job, details)

    def _check_waiting(self, context: StepHandlerContext, job: str) -> CheckStepHealthResult:
        wanted = devices_wanted(context.step_tags[step_key_of(context)])
        capacity = self.capacity()
        if wanted <= capacity.largest or self._cluster_grows:
            return CheckStepHealthResult.healthy()
        self.client.stop_job(job)
        return CheckStepHealthResult.unhealthy(
            f"it needs {float(wanted):g} CUDA devices and {capacity.where} now ({capacity.source})."
        )

    def _check_ended(
        self, context: StepHandlerContext, job: str, details: JobDetails
    ) -> CheckStepHealthResult:
        if details.error_type == WAITED_TOO_LONG:
            # Ray fails a job that has waited for its devices for RAY_JOB_START_TIMEOUT_SECONDS (15 min).
            self._launches[job] = self._launches.get(job, 0) + 1
            list(self.launch_step(context))
            return CheckStepHealthResult.healthy()
        if job not in self._found_ended:
            # Its last event may have been logged since the executor last read the log.
            self._found_ended.add(job)
            return CheckStepHealthResult.healthy()
        return CheckStepHealthResult.unhealthy(
            f"its Ray job {job} ended ({details.status.value}) and reported neither success nor failure: "
            f"{details.message}"
        )

    def _get_ray_job_submission_id(self, step_handler_context: StepHandlerContext) -> str:
        job: Any = super()._get_ray_job_submission_id(step_handler_context)
        while job in self._launches:
            job = f"{job}-again"
        return str(job)
