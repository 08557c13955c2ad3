"""Dagster as it is deployed: an instance with its daemon as a process, and GraphQL as the web UI sends it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.testclient import TestClient

from tests.support.paths import ROOT
from tests.support.processes import end

WORKSPACE = f"""
load_from:
  - python_module:
      module_name: wavcaps_assets.definitions
      location_name: wavcaps_assets
      working_directory: {ROOT}
"""
INSTANCE = """
telemetry: {enabled: false}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {max_concurrent_runs: 2, dequeue_interval_seconds: 1}
"""
SELECTOR = {"repositoryLocationName": "wavcaps_assets", "repositoryName": "__repository__"}


class Host:
    """The web server of an instance, in this process.

    Args:
        instance: the instance.
        client: sends requests to the web server.
    """

    def __init__(self, instance: dg.DagsterInstance, client: TestClient) -> None:
        self.instance = instance
        self._client = client

    def graphql(self, query: str, **variables: Any) -> Any:
        """The data of an answer that has no errors."""
        answer = self._client.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer
        return answer["data"]


@contextmanager
def host(home: Path, instance_yaml: str = INSTANCE, log: Path | None = None) -> Iterator[Host]:
    """An instance in a folder, its web server in this process, and its daemon as a process.

    Args:
        home: becomes DAGSTER_HOME. The environment must have it already.
        log: gets what the daemon and the runs print; None: `daemon.log` in `home`.
    """
    assert os.environ["DAGSTER_HOME"] == str(home)
    (home / "dagster.yaml").write_text(instance_yaml)
    workspace = home / "workspace.yaml"
    workspace.write_text(WORKSPACE)
    with dg.DagsterInstance.get() as instance:
        # Made before other processes open them: SQLite files are not made by two at once.
        instance.get_runs(limit=1)
        instance.all_asset_keys()
        instance.all_instigator_state()
        with (
            _daemon(log or home / "daemon.log", workspace),
            WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as context,
            TestClient(create_app_from_workspace_process_context(context)) as client,
        ):
            yield Host(instance, client)


@contextmanager
def _daemon(log_file: Path, workspace: Path) -> Iterator[None]:
    command = [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "-w", str(workspace)]
    with (
        log_file.open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as daemon,
    ):
        try:
            yield
        finally:
            end(daemon)


def wait_until(done: Callable[[], bool], timeout_s: float, what: Callable[[], object]) -> None:
    """Waits until something is so. The error has what `what` gives."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(1)
