"""The real web server of `wavcaps ui` with live sources shows the whole graph, asked as the UI asks it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

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


# As the README sets them; no site is asked before a schedule is switched on.
LIVE = {
    "WAVCAPS_SOURCES": "live",
    "WAVCAPS_CONTACT": "you@example.org",
    "WAVCAPS_FREESOUND__TOKEN": "token",
    "WAVCAPS_AUDIOSET__CLIPS_URL": "/data/audioset",
    "WAVCAPS_LLM__BASE_URL": "embedded",
}


@dataclass(frozen=True)
class Running:
    """`wavcaps ui`.

    Attributes:
        url: of the web server.
        process: the command.
        home: the instance's folder.
        output: file of all that the command and its processes print.
    """

    url: str
    process: subprocess.Popen[bytes]
    home: Path
    output: Path

    def processes(self) -> list[str]:
        """The processes of this instance, by their numbers in /proc."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"DAGSTER_HOME={self.home}".encode() in (process / "environ").read_bytes():
                    found.append(process.name)
        return found


@contextmanager
def served(
    folder: Path, *command: str, before: Sequence[str] = (), stop: int = signal.SIGTERM
) -> Iterator[Running]:
    """A command that serves the web UI, until the context ends and stops it with a signal.

    Args:
        before: a command that executes it.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    home, output = folder / "home", folder / "output.txt"
    home.mkdir()
    environment = {**os.environ, **LIVE, "DAGSTER_HOME": str(home)}
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [*before, sys.executable, "-m", *command, "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            for attempt in Retrying(
                retry=retry_if_exception_type(httpx.TransportError),
                stop=stop_after_delay(120),
                wait=wait_fixed(0.5),
            ):
                with attempt:
                    assert process.poll() is None, output.read_text()
                    httpx.get(f"{url}/server_info").raise_for_status()
            yield Running(url, process, home, output)
        finally:
            process.send_signal(stop)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    # A script's shell starts its background commands with SIGINT ignored.
    shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    with served(tmp_path_factory.mktemp("ui"), "wavcaps_assets.cli", "ui", before=shell) as started:
        yield started


@pytest.fixture(scope="module")
def server(running: Running) -> str:
    return running.url


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


@pytest.mark.slow
def test_it_prints_only_its_own_lines_and_stops_with_all_that_it_started(running: Running) -> None:
    # The command, the web server and the daemon, and the code servers of both.
    assert len(running.processes()) >= 3
    running.process.terminate()
    assert running.process.wait(60) == 128 + signal.SIGTERM
    for attempt in Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.2)):
        with attempt:
            assert running.processes() == []
    port = running.url.rpartition(":")[2]
    assert running.output.read_text().splitlines() == [
        "Live sources: FreeSound, BBC Sound Effects, SoundBible, AudioSet SL; "
        f"store: {running.home / 'store'}",
        "Starting the web server and the daemon",
        "",
        f"  The lineage graph: http://127.0.0.1:{port}/asset-groups",
        "  Ctrl-C stops everything.",
        "",
    ]


@pytest.mark.soak
def test_dagster_dev_serves_the_same_graph(tmp_path: Path) -> None:
    command = ("dagster", "dev", "-w", "workspace.yaml")
    with served(tmp_path, *command, stop=signal.SIGINT) as started:
        answer = httpx.post(f"{started.url}/graphql", json={"query": GRAPH}, timeout=120).json()
    assert len(answer["data"]["assetNodes"]) > 40
