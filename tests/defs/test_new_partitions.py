"""A month ends: the sensor sees it, and under `dagster dev` the web UI and the schedule have it soon."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from tests.support.dagster_host import SELECTOR, wait_until
from tests.support.paths import ROOT
from wavcaps_assets.defs.new_partitions import new_partitions_sensor
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources, freesound_settings

LIVE = {
    "WAVCAPS_SOURCES": "live",
    "WAVCAPS_SOURCE_NAMES": "freesound,soundbible",
    "WAVCAPS_FREESOUND__TOKEN": "unused",
    "WAVCAPS_FREESOUND__FIRST_MONTH": "2026-09",
    "WAVCAPS_CONTACT": "me@example.org",
}
NOVEMBER, DECEMBER = "2026-11-28", "2026-12-01"
WORKSPACE = f"""
load_from:
  - python_module:
      module_name: tests.support.stepped_location
      location_name: wavcaps_assets
      working_directory: {ROOT}
"""
ASSETS = """
{
  assetNodes {
    assetKey { path }
    partitionKeys
    dependencies { asset { assetKey { path } } partitionMapping { className description } }
  }
}
"""
TRY_SCHEDULE = """
mutation Try($selector: ScheduleSelector!, $timestamp: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $timestamp) {
    ... on DryRunInstigationTick { evaluationResult { runRequests { tags { key value } } } }
  }
}
"""


@pytest.mark.slow
def test_the_sensor_sees_that_a_month_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LIVE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(freesound_settings, "last_full_month", lambda _today: "2026-10")
    sensor = new_partitions_sensor({one.name: one.partitions() for one in all_sources(Settings())})

    def said() -> str:
        with dg.instance_for_test() as instance, dg.build_sensor_context(instance) as context:
            return sensor.evaluate_tick(context).skip_message or ""

    assert said() == "no source has new partitions"
    monkeypatch.setattr(freesound_settings, "last_full_month", lambda _today: "2026-11")
    assert said().startswith("new partitions: freesound/2026-11.")


@dataclass
class Dev:
    """`dagster dev`, and the file with its day."""

    url: str
    today: Path

    def graphql(self, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.url}/graphql", json=body, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def months(self) -> list[str]:
        try:
            nodes = self.graphql(ASSETS)["assetNodes"]
        except httpx.TransportError:
            return []
        keys = [
            node["partitionKeys"] for node in nodes if node["assetKey"]["path"] == ["freesound", "raw_clips"]
        ]
        return list(keys[0]) if keys else []


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    today, workspace = tmp_path / "today", tmp_path / "workspace.yaml"
    today.write_text(NOVEMBER)
    workspace.write_text(WORKSPACE)
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path)
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-w", str(workspace)]
    store = {
        "DAGSTER_HOME": str(tmp_path),
        "WAVCAPS_STORE": str(tmp_path / "store"),
        "STEPPED_TODAY": str(today),
    }
    with (
        (tmp_path / "output.txt").open("wb") as output,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **LIVE, **store},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield Dev(f"http://127.0.0.1:{port}", today)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


@pytest.mark.soak
@pytest.mark.alone
def test_dagster_dev_has_a_new_month_without_a_person(dev: Dev) -> None:
    wait_until(lambda: bool(dev.months()), 180, lambda: "no web server")
    assert dev.months()[-1] == "2026-10"
    dev.today.write_text(DECEMBER)
    wait_until(lambda: dev.months()[-1:] == ["2026-11"], 180, dev.months)

    # Later stages depend on it, as the UI shows them.
    nodes = {tuple(node["assetKey"]["path"]): node for node in dev.graphql(ASSETS)["assetNodes"]}
    mappings = [
        one["partitionMapping"]
        for one in nodes["filtered_clips",]["dependencies"]
        if one["asset"]["assetKey"]["path"] == ["freesound", "raw_clips"]
    ]
    assert [one["className"] for one in mappings] == ["StaticPartitionMapping"]
    assert "'2026-11': 'freesound'" in mappings[0]["description"]

    schedule = {**SELECTOR, "scheduleName": "crawl_freesound_missing"}
    tried = dev.graphql(TRY_SCHEDULE, selector=schedule, timestamp=time.time())
    requests = tried["scheduleDryRun"]["evaluationResult"]["runRequests"]
    tags = [{tag["key"]: tag["value"] for tag in request["tags"]} for request in requests]
    assert [one["dagster/partition"] for one in tags] == ["2026-09", "2026-10", "2026-11"]
