"""A team's installation, with the services of `deploy/compose.yaml` started by hand from the same files:
Postgres, an S3 server, both code locations, web server, daemon and proxy."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.compose import DEPLOY, services, started
from tests.support.dagster_host import wait_until
from tests.support.graphql import LAUNCH_RUN, execution
from tests.support.paths import ROOT
from tests.support.postgres import serving_postgres
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.store.bucket_requests import connect
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = pytest.mark.soak

USER, PASSWORD = "researcher", "correct horse battery staple"
# Planted, and looked for afterwards in everything that the services wrote.
PLANTED = "planted-key-8c1f0e"
BUCKET_SECRET = "planted-secret-77a2b9"


@pytest.fixture(scope="module")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's Caddy, installed or only unpacked."""
    installed = shutil.which("caddy")
    if installed:
        return Path(installed)
    folder = tmp_path_factory.mktemp("caddy")
    try:
        subprocess.run(["apt-get", "download", "caddy"], cwd=folder, check=True, capture_output=True)
        (package,) = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("Caddy is not installed, and apt-get cannot download it")
    return folder / "usr" / "bin" / "caddy"


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@dataclass
class Team:
    """What is reachable from outside: the proxy."""

    address: str
    folder: Path
    bucket_url: str

    def open(self, path: str, body: bytes | None = None, password: str | None = PASSWORD) -> bytes:
        request = urllib.request.Request(f"https://{self.address}{path}", data=body)
        request.add_header("Content-Type", "application/json")
        if password is not None:
            login = base64.b64encode(f"{USER}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        # Its certificate is of Caddy's own authority, which nobody here trusts.
        with urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=30) as answer:
            found: bytes = answer.read()
        return found

    def graphql(self, query: str, **variables: Any) -> Any:
        answer = json.loads(
            self.open("/graphql", json.dumps({"query": query, "variables": variables}).encode())
        )
        assert "errors" not in answer, answer
        return answer["data"]

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


@pytest.fixture(scope="module")
def team(caddy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    home = folder / "home"
    home.mkdir()
    shutil.copy(ROOT / "dagster_home" / "team" / "dagster.yaml", home)
    hashed = subprocess.run(
        [caddy, "hash-password", "--plaintext", PASSWORD], check=True, capture_output=True, text=True
    ).stdout.strip()
    ports = {name: _free_port() for name in ("assets", "training", "webserver", "proxy")}
    corpus = synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=18, scenes=4)
    with ExitStack() as stack:
        postgres = stack.enter_context(serving_postgres())
        bucket_url = stack.enter_context(serving_atomic_s3())
        sources = stack.enter_context(running_server(corpus))
        compose = services(
            {
                "UI_USER": USER,
                "UI_PASSWORD_HASH": hashed,
                "UI_ADDRESS": f"localhost:{ports['proxy']}",
                "DAGSTER_POSTGRES_PASSWORD": "secret",
                "AWS_ACCESS_KEY_ID": "wavcaps",
                "AWS_SECRET_ACCESS_KEY": BUCKET_SECRET,
            }
        )
        addresses = {
            # The superuser and the database that an empty Debian server has.
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(postgres),
            "DAGSTER_POSTGRES_USER": "postgres",
            "DAGSTER_POSTGRES_DB": "postgres",
            "DAGSTER_HOME": str(home),
            "WAVCAPS_STATE": str(folder / "state"),
            "WAVCAPS_S3__ENDPOINT_URL": bucket_url,
        }
        locations = {
            "ASSETS_HOST": "127.0.0.1",
            "ASSETS_PORT": ports["assets"],
            "TRAINING_HOST": "127.0.0.1",
            "TRAINING_PORT": ports["training"],
        }
        # The demo's server stands in for the real sites; the key is one of those of keys.env.
        demo = {
            "WAVCAPS_SOURCES": "embedded",
            "WAVCAPS_EMBEDDED_SOURCES_PORT": sources.rpartition(":")[2],
            "WAVCAPS_LLM__API_KEY": PLANTED,
        }
        with started(compose["buckets"], addresses, {}, folder / "buckets.log") as process:
            assert process.wait(60) == 0, (folder / "buckets.log").read_text()
        for name, own, of_service in (
            ("assets", addresses | demo, {"4000": ports["assets"]}),
            ("training", addresses | {"WAVCAPS_SOURCES": "embedded"}, {"4000": ports["training"]}),
        ):
            stack.enter_context(started(compose[name], own, of_service, folder / f"{name}.log"))
        for port in (ports["assets"], ports["training"]):
            _wait_for_grpc(port, folder)
        for name, of_service in (("webserver", {"3000": ports["webserver"]}), ("daemon", {})):
            service = started(compose[name], addresses | locations, of_service, folder / f"{name}.log")
            stack.enter_context(service)
        proxy = compose["proxy"] | {"command": [str(caddy), "run", "--config", str(DEPLOY / "Caddyfile")]}
        own = {
            "UI_UPSTREAM": f"127.0.0.1:{ports['webserver']}",
            "XDG_DATA_HOME": str(folder / "caddy"),
            "XDG_CONFIG_HOME": str(folder / "caddy"),
        }
        stack.enter_context(started(proxy, own, {}, folder / "proxy.log"))
        found = Team(f"localhost:{ports['proxy']}", folder, bucket_url)
        wait_until(lambda: _answers(found), 120, found.logs)
        yield found


def _wait_for_grpc(port: str, folder: Path) -> None:
    check = [sys.executable, "-m", "dagster", "api", "grpc-health-check", "-p", port]
    healthy: Callable[[], bool] = lambda: subprocess.run(check, capture_output=True).returncode == 0  # noqa: E731
    wait_until(healthy, 120, lambda: [path.read_text()[-2000:] for path in folder.glob("*.log")])


def _answers(team: Team) -> bool:
    try:
        return bool(team.open("/server_info"))
    except OSError:
        return False


@pytest.mark.parametrize("password", [None, "", "wrong"])
@pytest.mark.parametrize("path", ["/", "/graphql", "/server_info", "/logs/x/y/stdout"])
def test_the_proxy_lets_nobody_in_without_the_password(team: Team, path: str, password: str | None) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        team.open(path, password=password)
    assert error.value.code == 401


LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
  name locationOrLoadError { __typename } } } } }"""
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def test_a_crawl_leaves_everything_in_postgres_and_the_bucket(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = team.graphql(LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert {one["name"]: one["locationOrLoadError"]["__typename"] for one in found} == {
        "wavcaps_assets": "RepositoryLocation",
        "wavcaps_training": "RepositoryLocation",
    }
    params = execution(
        "__ASSET_JOB",
        {"dagster/partition": "catalogue"},
        assetSelection=[{"path": ["soundbible", name]} for name in ("raw_clips", "audio")],
        assetCheckSelection=[],
    )
    launched = team.graphql(LAUNCH_RUN, params=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]

    def status() -> str:
        return str(team.graphql(STATUS, id=run_id)["runOrError"]["status"])

    wait_until(lambda: status() in {"SUCCESS", "FAILURE"}, 240, status)
    assert status() == "SUCCESS", team.logs()[-5000:]

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wavcaps")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", BUCKET_SECRET)
    client = connect(team.bucket_url, "us-east-1")
    tables = TableStore(Store("s3://wavcaps/store", client))
    assert tables.read(["soundbible", "audio"]).num_rows > 0
    outputs = client.list_objects_v2(Bucket="wavcaps-logs")["Contents"]
    assert any(one["Key"].startswith(f"dagster/storage/{run_id}/compute_logs/") for one in outputs)
    # No file of the instance is on this machine's disk: the data image has a read-only file system. Dagster's
    # telemetry makes its two folders, although it is off, and does without them.
    written = [path.name for path in (team.folder / "home").rglob("*") if path.is_file()]
    assert written == ["dagster.yaml"]
    for output in outputs:
        body = client.get_object(Bucket="wavcaps-logs", Key=output["Key"])["Body"].read()
        assert PLANTED.encode() not in body and BUCKET_SECRET.encode() not in body
    for secret in (PLANTED, BUCKET_SECRET, PASSWORD):
        assert secret not in team.logs()
