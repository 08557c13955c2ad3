"""The demo's runs are listed on the pages of their jobs, and can be executed again from there."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.testclient import TestClient

from tests.support.dagster_host import SELECTOR, WORKSPACE
from tests.support.paths import ROOT
from wavcaps_assets.lane.runs import Job, RunFailed, run_job

RUNS_OF_A_JOB = """
query Runs($selector: PipelineSelector!, $filter: RunsFilter!) {
  pipelineOrError(params: $selector) { ... on Pipeline { runs { runId } } ... on PythonError { message } }
  runsOrError(filter: $filter) { ... on Runs { results { runId } } }
}
"""
AGAIN = """
mutation Again($params: ReexecutionParams) {
  launchPipelineReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { parentRunId pipelineName } }
    ... on PythonError { message }
  }
}
"""


@pytest.mark.slow
def test_a_run_is_on_the_page_of_its_job_and_can_be_executed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text(WORKSPACE)
    with dg.DagsterInstance.get() as instance:
        # Nothing is captioned yet: the run fails, and must be listed even so.
        with pytest.raises(RunFailed):
            run_job(instance, Job("wavcaps_assets", "publish"), ROOT)
        (run,) = instance.get_runs()
        with (
            WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as context,
            TestClient(create_app_from_workspace_process_context(context)) as client,
        ):
            label = {"key": ".dagster/repository", "value": "__repository__@wavcaps_assets"}
            variables = {
                "selector": {**SELECTOR, "pipelineName": "publish"},
                "filter": {"pipelineName": "publish", "tags": [label]},
            }
            answer = client.post("/graphql", json={"query": RUNS_OF_A_JOB, "variables": variables}).json()
            params = {"parentRunId": run.run_id, "strategy": "ALL_STEPS"}
            again = client.post("/graphql", json={"query": AGAIN, "variables": {"params": params}}).json()
    assert answer["data"] == {
        "pipelineOrError": {"runs": [{"runId": run.run_id}]},
        "runsOrError": {"results": [{"runId": run.run_id}]},
    }
    assert again["data"]["launchPipelineReexecution"] == {
        "__typename": "LaunchRunSuccess",
        "run": {"parentRunId": run.run_id, "pipelineName": "publish"},
    }
