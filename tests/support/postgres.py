"""A real Postgres server, of Debian's package, for one test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
# The server refuses to run as root.
AS_ITS_USER = (
    ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
)


@contextmanager
def serving_postgres(environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """The port of an empty Postgres server, with the user `postgres` and its password `secret`.

    Args:
        environment: more variables for the server, as of a clock.
    """
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
        # Not for the program that changes the user.
        variables = ["env", *(f"{name}={value}" for name, value in (environment or {}).items())]
        listens = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        _run(*variables, *server, "-l", folder / "log", "-o", listens, "start")
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
