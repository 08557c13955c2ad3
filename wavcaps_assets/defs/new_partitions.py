"""A sensor that loads the definitions again when a source has new partitions, such as a month that has ended.

Partitions are static, so that the web UI knows which of them a source's later stages depend on. A list of
static partitions is as old as the process that loaded it.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

from wavcaps_assets.defs.common import Location
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import known_sources

EVERY_S = 300


def new_partitions_sensor(loaded: Mapping[str, Sequence[str]]) -> dg.SensorDefinition:
    """The sensor.

    Args:
        loaded: the partitions with which the definitions were loaded, by the source's name.
    """

    @dg.sensor(
        name="new_partitions",
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Loads the definitions again when a source has new partitions, such as a month of "
        "FreeSound that ended. This needs a code server that can: that of `dagster dev`, which `make ui` "
        "starts, or of `dagster code-server start`.",
    )
    def new_partitions(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        found = sorted(
            f"{source.name}/{name}"
            for source in known_sources(Settings())
            if source.name in loaded
            for name in set(source.partitions()) - set(loaded[source.name])
        )
        if not found:
            return dg.SkipReason("no source has new partitions")
        named = ", ".join(found)
        origin = context.code_location_origin
        if not isinstance(origin, GrpcServerCodeLocationOrigin):
            return dg.SkipReason(
                f"new partitions: {named}. The daemon's own code servers load them within a minute; for the "
                "web UI, reload the code location there, or start both with `dagster dev`"
            )
        # The code server ends this process when it has loaded the definitions, so the tick ends first.
        timeout_s = context.instance.code_server_reload_timeout
        threading.Thread(target=_load_again, args=(origin, timeout_s), daemon=True).start()
        return dg.SkipReason(f"the definitions are loaded again, with new partitions: {named}")

    return new_partitions


def _load_again(origin: GrpcServerCodeLocationOrigin, timeout_s: int) -> None:
    # The answer may never arrive: it comes when this process has to end. The next tick sees if it worked.
    with suppress(dg.DagsterError):
        origin.create_client().reload_code(timeout=timeout_s)


def definitions(location: Location) -> dg.Definitions:
    loaded = {source.name: source.partitions() for source in location.sources}
    return dg.Definitions(sensors=[new_partitions_sensor(loaded)])
