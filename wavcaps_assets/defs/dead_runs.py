"""A sensor that ends runs whose process is gone, as after a restart of the machine.

Dagster's own monitoring cannot tell with its default launcher: such a run would stay "started" for
ever, and its source's schedule would wait for it.
"""

import json
import time

import dagster as dg

# On a run that the default launcher started: where the server is that holds its process.
SERVER_TAG = ".dagster/grpc_info"
EVERY_S = 60
# A server that is only busy answers within that time.
GONE_AFTER_S = 180


@dg.sensor(
    name="end_dead_runs",
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process is gone, as after a restart of the machine, so that their "
    "partitions are taken up again.",
)
def end_dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    missing_since: dict[str, float] = json.loads(context.cursor) if context.cursor else {}
    missing: dict[str, float] = {}
    ended = []
    now = time.time()
    for run in context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if SERVER_TAG not in run.tags or is_held(run):
            continue
        since = missing[run.run_id] = missing_since.get(run.run_id, now)
        if now - since >= GONE_AFTER_S:
            context.instance.report_run_failed(
                run, "Its process is gone, as after a restart of the machine; what it did is kept."
            )
            ended.append(run.run_id)
    context.update_cursor(json.dumps({key: since for key, since in missing.items() if key not in ended}))
    return dg.SkipReason(f"ended {', '.join(ended)}" if ended else f"{len(missing)} runs look dead")


def is_held(run: dg.DagsterRun) -> bool:
    """Whether the server that started a run is there, and still has it."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._grpc.types import GetCurrentRunsResult
    from dagster._serdes import deserialize_value

    server = json.loads(run.tags[SERVER_TAG])
    client = DagsterGrpcClient(
        host=server["host"],
        port=server.get("port"),
        socket=server.get("socket"),
        use_ssl=bool(server.get("use_ssl")),
    )
    try:
        held = deserialize_value(client.get_current_runs(), GetCurrentRunsResult)
    except DagsterUserCodeUnreachableError:
        return False
    return run.run_id in held.current_runs
