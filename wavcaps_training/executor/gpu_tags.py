"""Tags of an op that declare the CUDA devices that its step needs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from wavcaps_training.executor.devices import DEVICE_VARIABLE, SLOTS_PER_DEVICE, DeviceError

GPU_TAG = "wavcaps/gpu"
"""Tag of an op: how many CUDA devices its step needs, or which share of one."""

KUBERNETES_TAG = "dagster-k8s/config"
"""Tag of an op: additions to the pod of its step, for Dagster's Kubernetes library."""


def gpu_tags(devices: float) -> dict[str, Any]:
    """The `op_tags` of an asset that needs CUDA devices, on this machine, on Ray and on Kubernetes.

    Kubernetes gives containers whole devices only, so a share of a device requests one
    (https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/).

    Args:
        devices: a whole number of devices, or a share of one in twentieths, such as 0.5.

    Raises:
        DeviceError: it is neither.
    """
    tags = {GPU_TAG: f"{devices:g}"}
    count = math.ceil(devices_wanted(tags))
    environment = {
        DEVICE_VARIABLE: "cuda",
        # A container sees only its own devices, numbered from 0.
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(count))),
    }
    container = {
        "resources": {"limits": {"nvidia.com/gpu": str(count)}},
        "env": [{"name": name, "value": value} for name, value in environment.items()],
    }
    return {**tags, KUBERNETES_TAG: {"container_config": container}}


def devices_wanted(tags: Mapping[str, str]) -> Fraction:
    """How many devices a step's tags request; 0 without the tag.

    Raises:
        DeviceError: the tag is neither a whole number of devices nor a share of one.
    """
    value = tags.get(GPU_TAG)
    if value is None:
        return Fraction(0)
    wanted = Fraction(value) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) else Fraction(0)
    if not wanted or (wanted > 1 and wanted.denominator != 1) or SLOTS_PER_DEVICE % wanted.denominator:
        raise DeviceError(
            f"tag {GPU_TAG} is {value!r}: it must be a whole number of CUDA devices, such as '1' or '2', "
            "or a share of one in twentieths, such as '0.5' or '0.05'"
        )
    return wanted
