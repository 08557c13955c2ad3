"""A sensor that gives the pool of the GPUs as many slots as this machine has devices."""

from __future__ import annotations

import dagster as dg

from wavcaps_assets.defs.pools import GPU
from wavcaps_training.defs.common import Location
from wavcaps_training.executor.config import Engine, default_engine
from wavcaps_training.executor.devices import find_devices

EVERY_S = 3600


def gpu_pool_sensor(share: float) -> dg.SensorDefinition:
    """The sensor. Its cursor is the limit that it has set; another one is a person's, and stays.

    Args:
        share: of a device that a step needs at least (0 to 1).
    """

    @dg.sensor(
        name="gpu_pool",
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Gives the pool `gpu` as many slots as steps fit on the GPUs of this machine. A limit "
        "that a person has set stays. With Ray or Kubernetes, set it yourself, to the GPUs of the cluster.",
    )
    def gpu_pool(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if default_engine() is not Engine.local:
            return dg.SkipReason("steps on a GPU run on a cluster: its devices are not counted here")
        steps = int(len(find_devices().names) / share)
        if not steps:
            return dg.SkipReason("this machine has no GPU")
        storage = context.instance.event_log_storage
        known = next((pool for pool in storage.get_pool_limits() if pool.name == GPU), None)
        if known is not None and not known.from_default and str(known.limit) != context.cursor:
            return dg.SkipReason(f"the pool has the limit that a person has set: {known.limit}")
        if known is None or known.limit != steps:
            storage.set_concurrency_slots(GPU, steps)
        context.update_cursor(str(steps))
        return dg.SkipReason(f"{steps} steps at once fit on the GPUs of this machine")

    return gpu_pool


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(sensors=[gpu_pool_sensor(min(1.0, location.gpus.gpus_per_training))])
