"""The real web server shows the whole graph, asked as the UI asks it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.support.paths import ROOT
from wavcaps_assets.defs.quality import MEASURED

GRAPH = """
{
  assetNodes {
    assetKey { path }
    groupName
    repository { location { name } }
    dependencyKeys { path }
    isPartitioned
    assetChecksOrError { ... on AssetChecks { checks { name blocking canExecuteIndividually } } }
  }
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dagster_webserver", "-w", "workspace.yaml", "--port", str(port)]
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path_factory.mktemp("home"))}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            for attempt in Retrying(
                retry=retry_if_exception_type(httpx.TransportError),
                stop=stop_after_delay(120),
                wait=wait_fixed(0.5),
            ):
                with attempt:
                    assert process.poll() is None, "the web server stopped"
                    httpx.get(f"{url}/server_info").raise_for_status()
            yield url
        finally:
            process.terminate()


@pytest.mark.slow
def test_the_graph_spans_both_code_locations(server: str) -> None:
    answer = httpx.post(f"{server}/graphql", json={"query": GRAPH}, timeout=60).json()
    assert "errors" not in answer, json.dumps(answer)[:2000]
    nodes = {"/".join(node["assetKey"]["path"]): node for node in answer["data"]["assetNodes"]}
    locations = {name: node["repository"]["location"]["name"] for name, node in nodes.items()}
    assert locations["manifest"] == "wavcaps_assets"
    assert locations["scores/retrieval"] == "wavcaps_training"

    def upstream(name: str) -> set[str]:
        parents = {"/".join(key["path"]) for key in nodes[name]["dependencyKeys"]} & nodes.keys()
        return parents.union(*(upstream(parent) for parent in parents))

    # From the report, one can walk back to every raw crawl.
    assert {
        f"{source}/raw_clips" for source in ("freesound", "bbc_sound_effects", "soundbible", "audioset_sl")
    } <= upstream("report")
    assert nodes["manifest"]["isPartitioned"]
    checks = {check["name"]: check["blocking"] for check in nodes["captions"]["assetChecksOrError"]["checks"]}
    assert checks == dict.fromkeys(["schema", "clip_id_unique", "nothing_lost", *MEASURED], True)


def test_every_check_can_be_executed_on_its_own(server: str) -> None:
    answer = httpx.post(f"{server}/graphql", json={"query": GRAPH}, timeout=60).json()
    checks = [
        check
        for node in answer["data"]["assetNodes"]
        for check in node["assetChecksOrError"].get("checks", [])
    ]
    assert len(checks) > 80
    assert {check["canExecuteIndividually"] for check in checks} == {"CAN_EXECUTE"}
