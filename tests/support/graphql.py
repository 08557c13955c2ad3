"""What the web UI sends to start something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.dagster_host import SELECTOR

LAUNCH_RUN = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
LAUNCH_BACKFILL = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


def execution(job: str, tags: Mapping[str, str], **selection: Any) -> dict[str, Any]:
    """The parameters of `LAUNCH_RUN`.

    Args:
        job: the job, or Dagster's own of the asset graph.
        tags: of the run.
        selection: `assetSelection` and `assetCheckSelection`, where a part of the job is chosen.
    """
    return {
        "selector": {**SELECTOR, "pipelineName": job, **selection},
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
