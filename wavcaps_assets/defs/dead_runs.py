"""A sensor that ends runs whose process has died, for example in a restart of the machine.

Dagster's run monitoring does not detect this with the default launcher: such a run would stay "started",
and the schedule of its source would wait for it. A process id is only meaningful on its host, in its
namespace of process ids. A run of another container is dead if this container has taken its place: the runs
of a code server are its children, and this server has the address from which the run was started. So is a
run of this server that died before it recorded its host. Runs of other hosts and containers are left to
Dagster's run monitoring. A run of a command in a terminal, which no launcher started, is judged by the host
that it has recorded; the daemon must not start it again.
"""

import json
import os
import time
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import CodeLocationOrigin, GrpcServerCodeLocationOrigin
from dagster._core.storage.tags import MAX_RETRIES_TAG

from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.processes import Host, host_of, recorded_by, this_host

# A tag on runs that the default launcher, or ours, started.
LAUNCHER_TAG = ".dagster/grpc_info"
EVERY_S = 60
# By then, a run that was just ending has reported its end.
GONE_AFTER_S = 60


@dg.sensor(
    name="end_dead_runs",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process has died, for example in a restart of the machine or of the code "
    "server's container, so that their partitions are run again.",
)
def end_dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    missing_since: dict[str, float] = json.loads(context.cursor) if context.cursor else {}
    missing: dict[str, float] = {}
    ended = []
    now = time.time()
    here, server = this_host(), address_of(context.code_location_origin)
    for run in context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if not is_dead(context.instance, run, here, server):
            continue
        since = missing[run.run_id] = missing_since.get(run.run_id, now)
        if now - since >= GONE_AFTER_S:
            if LAUNCHER_TAG not in run.tags:
                context.instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: "0"})
            context.instance.report_run_failed(
                run, "Its process has died, for example in a restart of the machine; its work so far is kept."
            )
            ended.append(run.run_id)
    context.update_cursor(json.dumps({key: since for key, since in missing.items() if key not in ended}))
    return dg.SkipReason(f"ended {', '.join(ended)}" if ended else f"{len(missing)} runs look dead")


def address_of(origin: CodeLocationOrigin | None) -> tuple[str, int] | None:
    """Host and port of a code server that has a lasting address; None: it is one of this machine's own."""
    if isinstance(origin, GrpcServerCodeLocationOrigin) and origin.port is not None:
        return origin.host, origin.port
    return None


def is_dead(
    instance: dg.DagsterInstance, run: dg.DagsterRun, here: Host | None, server: tuple[str, int] | None
) -> bool:
    """Whether the process of a run no longer exists. False if this cannot be known from here.

    Args:
        here: the host of this process.
        server: host and port of this code server, if they are the same after each restart.
    """
    pids = _pids_of(instance, run)
    if not pids or here is None:
        return False
    started_by = json.loads(run.tags.get(LAUNCHER_TAG, "{}"))
    of_this_server = server is not None and (started_by.get("host"), started_by.get("port")) == server
    if recorded_by(run) is None:
        # It has not recorded where it is, yet: it is here, or was in a container before this one.
        return of_this_server and not any(map(is_process, pids))
    # Of two processes, one ended at once: the run is that of the one that has recorded itself.
    pid = next((pid for pid in pids if host_of(run, pid)), pids[0])
    host = host_of(run, pid)
    if host is None:
        return False
    if (host.name, host.pid_namespace) != (here.name, here.pid_namespace):
        return of_this_server
    return host.boot != here.boot or not is_process(pid)


def _pids_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[int]:
    """The ids of the run's processes, as they reported them: one, or several where it was launched again."""
    pids = []
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event else None
        if pid is not None:
            pids.append(int(str(pid.value)))
    return pids


def is_process(pid: int) -> bool:
    """Whether a process runs. One that has ended, and that its parent has not asked about, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # `17 (name) Z ...`: the name may have any character.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def definitions(_location: Location) -> dg.Definitions:
    return dg.Definitions(sensors=[end_dead_runs])
