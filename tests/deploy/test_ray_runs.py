"""Runs as jobs of a Ray cluster, by the run launcher of docs/executor.md: a crawl with its audio."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.dagster_host import INSTANCE, host, wait_until
from tests.support.graphql import LAUNCH_RUN, execution
from tests.support.paths import ROOT
from tests.support.ray_cluster import serving_ray
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytest.importorskip("dagster_ray", reason="dagster-ray is not installed: the extra `ray` has it")
pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` has it")

pytestmark = pytest.mark.soak


def launcher_of_the_page() -> str:
    """The lines for `dagster.yaml` in docs/executor.md."""
    page = (ROOT / "docs" / "executor.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```yaml\n(run_launcher:\n.*?)```", page, re.DOTALL)
    return str(lines)


def test_a_crawl_runs_on_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.job_submission import JobSubmissionClient

    home = tmp_path / "home"
    home.mkdir()
    corpus = synthesised_corpus(tmp_path / "corpus", clips=18, scenes=4)
    with running_server(corpus) as sources:
        for name, value in {
            "DAGSTER_HOME": str(home),
            "WAVCAPS_STORE": str(tmp_path / "store"),
            "WAVCAPS_STATE": str(tmp_path / "state"),
            "WAVCAPS_EMBEDDED_SOURCES_PORT": sources.rpartition(":")[2],
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }.items():
            monkeypatch.setenv(name, value)
        with serving_ray({}) as address:
            monkeypatch.setenv("RAY_ADDRESS", address)
            with host(home, INSTANCE + launcher_of_the_page()) as dagster:
                params = execution("crawl_soundbible", {"dagster/partition": "catalogue"})
                launched = dagster.graphql(LAUNCH_RUN, params=params)["launchPipelineExecution"]
                assert launched["__typename"] == "LaunchRunSuccess", launched
                run_id = launched["run"]["runId"]

                def ended() -> bool:
                    run = dagster.instance.get_run_by_id(run_id)
                    return run is not None and run.is_finished

                def log() -> list[str]:
                    return [entry.user_message for entry in dagster.instance.all_logs(run_id)][-20:]

                wait_until(ended, 400, log)
                run = dagster.instance.get_run_by_id(run_id)
                assert run is not None and run.is_success, log()
            jobs = {job.submission_id: job.status for job in JobSubmissionClient(address).list_jobs()}
    assert jobs == {f"dagster-run-{run_id}": "SUCCEEDED"}
    tables = TableStore(Store(tmp_path / "store"))
    for name in ("audio", "fingerprints"):
        assert tables.read(["soundbible", name]).num_rows > 0
