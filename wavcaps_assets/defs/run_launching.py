"""The run launcher of our instances: Dagster's own, which starts no second process for a run.

A code server says that it has started a run's process only when that process has loaded Dagster. On a machine
with too much to do this takes longer than a request may (60 s). Dagster's queue then launches the run again;
the second process finds the run in progress and ends; and the code server, which knows only the last process
of a run, marks the run as failed while the first one goes on with it.
"""

from __future__ import annotations

from typing import cast

from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import DefaultRunLauncher, LaunchRunContext
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value


class OneProcessRunLauncher(DefaultRunLauncher):
    """Asks the code server for a run's process: before it starts one, and when the answer is late."""

    def launch_run(self, context: LaunchRunContext) -> None:
        if _has_process(context):
            # An earlier attempt: its process begins when it has loaded Dagster.
            return
        try:
            super().launch_run(context)
        except DagsterUserCodeUnreachableError:
            if not _has_process(context):
                raise
            self._instance.report_engine_event(
                "The code server has not said in time that it has started the run's process. The process is "
                "there, and begins when it has loaded Dagster.",
                context.dagster_run,
                cls=self.__class__,
            )


def _has_process(context: LaunchRunContext) -> bool:
    """Whether the code server has a process of the run that has not ended.

    Raises:
        DagsterUserCodeUnreachableError: it does not say.
    """
    origin, workspace = context.dagster_run.remote_job_origin, context.workspace
    if origin is None or workspace is None:
        # The launcher has an error for this.
        return False
    name = origin.repository_origin.code_location_origin.location_name
    location = cast(GrpcServerCodeLocation, workspace.get_code_location(name))
    answer = location.client.can_cancel_execution(
        CanCancelExecutionRequest(run_id=context.dagster_run.run_id)
    )
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
