"""A sensor that ends runs whose process has died, for example in a restart of the machine.

Dagster's run monitoring does not detect this with the default launcher: such a run would stay "started",
and the schedule of its source would wait for it.
"""

import json
import os
import time
from pathlib import Path

import dagster as dg

from wavcaps_assets.defs.common import Location

# A tag on runs that the default launcher started.
LAUNCHER_TAG = ".dagster/grpc_info"
EVERY_S = 60
# By then, a run that was just ending has reported its end.
GONE_AFTER_S = 60


@dg.sensor(
    name="end_dead_runs",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process has died, for example in a restart of the machine, so that their "
    "partitions are run again.",
)
def end_dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    missing_since: dict[str, float] = json.loads(context.cursor) if context.cursor else {}
    missing: dict[str, float] = {}
    ended = []
    now = time.time()
    for run in context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if LAUNCHER_TAG not in run.tags or not is_dead(context.instance, run):
            continue
        since = missing[run.run_id] = missing_since.get(run.run_id, now)
        if now - since >= GONE_AFTER_S:
            context.instance.report_run_failed(
                run, "Its process has died, for example in a restart of the machine; its work so far is kept."
            )
            ended.append(run.run_id)
    context.update_cursor(json.dumps({key: since for key, since in missing.items() if key not in ended}))
    return dg.SkipReason(f"ended {', '.join(ended)}" if ended else f"{len(missing)} runs look dead")


def is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process of a run no longer exists; False if the process is not known."""
    started: tuple[int, float] | None = None
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event else None
        if started is None and pid is not None:
            started = int(str(pid.value)), entry.timestamp
    if started is None:
        return False
    pid_number, at = started
    return at < booted_at() or not is_process(pid_number)


def is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def booted_at() -> float:
    """When this machine started (s since 1970); 0 if that is not known."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), 0.0)


def definitions(_location: Location) -> dg.Definitions:
    return dg.Definitions(sensors=[end_dead_runs])
