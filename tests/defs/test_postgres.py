"""An instance on a real Postgres: its daemon, and a crawl that is launched through it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.defs.test_backfills import Pipeline, paths
from tests.support.dagster_host import INSTANCE, host
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus

pytestmark = [pytest.mark.slow, pytest.mark.alone]

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
IN_ONE_URL = "{{postgres_url: 'postgresql://postgres:secret@127.0.0.1:{port}/postgres'}}"
IN_FIELDS = (
    "{{postgres_db: {{username: postgres, password: secret, "
    "hostname: 127.0.0.1, db_name: postgres, port: {port}}}}}"
)
# The server refuses to run as root.
AS_ITS_USER = (
    ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
)


@pytest.fixture
def postgres() -> Iterator[int]:
    """The port of an empty Postgres server, with the user `postgres` and its password `secret`."""
    if PROGRAMS is None:
        pytest.skip("Debian's Postgres is not installed: no /usr/lib/postgresql/*/bin")
    # Not below pytest's folders, which the server's user cannot enter.
    folder = Path(_run("mktemp", "-d", "-p", "/tmp").strip())
    try:
        data, password = folder / "data", folder / "password"
        _run("tee", password, input="secret")
        login: list[str | Path] = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", password]
        _run(PROGRAMS / "initdb", "-D", data, "--no-sync", *login)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server: list[str | Path] = [PROGRAMS / "pg_ctl", "-D", data, "-w"]
        _run(*server, "-l", folder / "log", "-o", f"-p {port} -h 127.0.0.1 -k {folder} -F", "start")
        try:
            yield port
        finally:
            _run(*server, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _run(*command: str | Path, input: str = "") -> str:
    """What a command prints that the server's user runs."""
    ran = subprocess.run(
        [*AS_ITS_USER, *command], cwd="/", input=input, check=True, stdout=subprocess.PIPE, text=True
    )
    return ran.stdout


@pytest.mark.parametrize(
    "storage",
    [
        pytest.param(IN_ONE_URL, id="in one URL"),
        pytest.param(IN_FIELDS, id="in fields", marks=pytest.mark.soak),
    ],
)
def test_a_crawl(
    postgres: int, storage: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    corpus = synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=18, scenes=10)
    with running_server(corpus) as url:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        monkeypatch.setenv("WAVCAPS_STORE", str(home / "store"))
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        with host(home, f"{INSTANCE}storage: {{postgres: {storage.format(port=postgres)}}}\n") as dagster:
            pipeline = Pipeline(dagster)
            key = ["soundbible", "raw_clips"]
            run = pipeline.launch(
                "__ASSET_JOB",
                assetSelection=paths(key),
                assetCheckSelection=None,
                tags={"dagster/partition": "catalogue"},
            )
            assert run.status is dg.DagsterRunStatus.SUCCESS, pipeline.failures()
            pipeline.require(key, ["catalogue"])
            assert pipeline.tables.read(key).num_rows > 0
    # Nothing went to SQLite.
    assert not list(home.rglob("*.db"))
