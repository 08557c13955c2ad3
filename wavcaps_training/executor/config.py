"""Settings of the CUDA executor, and the environment variables that set their defaults."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any

import dagster as dg
from pydantic import Field

ON_MISSING_CUDA_VARIABLE = "WAVCAPS_ON_MISSING_CUDA"
"""Environment variable that sets the default of the executor's `on_missing_cuda`."""

ENGINE_VARIABLE = "WAVCAPS_GPU_ENGINE"
"""Environment variable that sets the default of the executor's `engine`."""

CLUSTER_GROWS_VARIABLE = "WAVCAPS_GPU_CLUSTER_GROWS"
"""Environment variable that sets the default of the executor's `cluster_grows`: `yes` or `no`."""


class OnMissingCuda(Enum):
    """What a run does with steps that need a GPU if there is none."""

    fail = "fail"
    cpu = "cpu"


class Engine(Enum):
    """Where steps that need a GPU run."""

    local = "local"
    ray = "ray"
    kubernetes = "kubernetes"


def from_environment(variable: str, choices: list[str]) -> str:
    """The choice in the environment, or the first one if the variable is not set.

    Raises:
        ValueError: the variable has another value.
    """
    value = os.environ.get(variable, choices[0])
    if value not in choices:
        raise ValueError(f"{variable} is {value!r}: it must be {' or '.join(choices)}")
    return value


def default_on_missing_cuda() -> OnMissingCuda:
    return OnMissingCuda(
        from_environment(ON_MISSING_CUDA_VARIABLE, [choice.value for choice in OnMissingCuda])
    )


def default_engine() -> Engine:
    return Engine(from_environment(ENGINE_VARIABLE, [choice.value for choice in Engine]))


def default_cluster_grows() -> bool:
    return from_environment(CLUSTER_GROWS_VARIABLE, ["no", "yes"]) == "yes"


class RayConfig(dg.Config):
    """How steps reach Ray."""

    address: str | None = Field(
        default=None,
        description="address of the cluster's dashboard, as in http://head:8265; default: RAY_ADDRESS",
    )
    env_vars: list[str] = Field(
        default=[],
        description="environment variables of the steps: `NAME=value`, or `NAME` for this process's value. "
        "Ray shows them in its dashboard.",
    )
    runtime_env: dict[str, Any] = Field(
        default={},
        description="Ray's runtime environment of the steps, such as `working_dir`: "
        "https://docs.ray.io/en/latest/ray-core/handling-dependencies.html",
    )


class CudaExecutorConfig(dg.Config):
    """Settings of the CUDA executor, under `execution: config:` in the run's config."""

    engine: Engine = Field(
        default=default_engine(),
        description=(
            "Where steps that need a GPU run: on this machine, or on a Ray or Kubernetes cluster. "
            f"The environment variable {ENGINE_VARIABLE} sets the default."
        ),
    )
    ray: RayConfig = Field(default=RayConfig(), description="how to reach Ray, for `engine: ray`")
    cluster_grows: bool = Field(
        default=default_cluster_grows(),
        description=(
            "The cluster adds machines when steps wait for them, so steps that need more devices than it "
            "has now are not refused. The environment variable "
            f"{CLUSTER_GROWS_VARIABLE} (yes or no) sets the default."
        ),
    )
    on_missing_cuda: OnMissingCuda = Field(
        default=default_on_missing_cuda(),
        description=(
            "Without a CUDA device, `fail` stops the run before its first step; `cpu` runs "
            "the steps that need a GPU on this machine's CPU, one at a time. The environment variable "
            f"{ON_MISSING_CUDA_VARIABLE} sets the default."
        ),
    )
    max_concurrent: int | None = Field(
        default=None,
        ge=1,
        description="how many steps of this run run at a time; default: the number of the machine's cores",
    )
    lock_dir: str | None = Field(
        default=None,
        description=(
            "folder of the devices' lock files, the same for all runs on a machine; "
            "default: `cuda_devices` in DAGSTER_HOME"
        ),
    )
