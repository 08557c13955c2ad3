"""A run whose process starts slowly: it is started once, and ends well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import LaunchRunContext
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._grpc.client import DagsterGrpcClient

from tests.support.dagster_host import wait_until
from tests.support.paths import ROOT
from wavcaps_assets.defs.run_launching import OneProcessRunLauncher

LAUNCHER = {"module": OneProcessRunLauncher.__module__, "class": OneProcessRunLauncher.__name__}
CODE = """
import dagster as dg

@dg.op
def work() -> None: ...

@dg.job
def slow() -> None:
    work()

defs = dg.Definitions(jobs=[slow])
"""
# Python runs it first in each process: those of runs take a few seconds to start.
SLOW = """
import sys, time
if any("spawn_main" in argument for argument in sys.orig_argv):
    time.sleep(6)
"""
PATIENCE_S = 2


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Its requests to start a run wait for two seconds instead of sixty."""
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'slow'}:{ROOT}")
    answer = DagsterGrpcClient._get_response

    def impatient(self: DagsterGrpcClient, method: str, request: Any, timeout: int = 60) -> Any:
        return answer(self, method, request, PATIENCE_S if method == "StartRun" else timeout)

    monkeypatch.setattr(DagsterGrpcClient, "_get_response", impatient)
    monitoring = {"run_monitoring": {"enabled": True}}
    with dg.instance_for_test(overrides={"run_launcher": LAUNCHER, **monitoring}) as made:
        yield made


@pytest.mark.slow
def test_a_process_that_starts_slowly_is_the_only_one_of_its_run(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    target = PythonFileTarget(str(tmp_path / "code.py"), None, str(tmp_path), "code")
    with WorkspaceProcessContext(instance, target) as process_context:
        workspace = process_context.create_request_context()
        job = workspace.get_code_location("code").get_repository("__repository__").get_full_job("slow")
        run = create_run_for_test(
            instance,
            job_name="slow",
            status=dg.DagsterRunStatus.STARTING,
            job_snapshot=job.job_snapshot,
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
        )
        # The second time as the queue does it.
        for _ in range(2):
            instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=workspace))
        wait_until(
            lambda: _status(instance, run) is dg.DagsterRunStatus.SUCCESS, 60, lambda: _said(instance, run)
        )
    said = _said(instance, run)
    assert said.count("Started process for run") == 1
    assert "has not said in time" in said and "Ignoring" not in said


def _status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def _said(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    return "\n".join(entry.message for entry in instance.all_logs(run.run_id))


@pytest.mark.parametrize("path", ["dagster_home/dagster.yaml", "dagster_home/team/dagster.yaml"])
def test_our_instances_have_this_launcher(path: str) -> None:
    assert yaml.safe_load((ROOT / path).read_text())["run_launcher"] == LAUNCHER
