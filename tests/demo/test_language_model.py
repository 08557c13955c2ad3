from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.paths import ROOT
from wavcaps_assets.demo.language_model import (
    MODEL_NAME,
    LanguageModelError,
    require_free_port,
    running_model,
    wait_until_healthy,
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_port_in_use_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(LanguageModelError, match=rf"port {port} .*WAVCAPS_EMBEDDED_MODEL_PORT"),
            running_model(port),
        ):
            pass


@pytest.mark.slow
def test_the_server_stops_when_its_parent_dies(tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "wavcaps_assets.demo.language_model",
        "--port",
        str(port),
        "--until-stdin-closes",
    ]
    with (tmp_path / "log").open("w+b") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=log)
        wait_until_healthy(server, port, log)
        models = httpx.get(f"http://127.0.0.1:{port}/v1/models").json()["data"]
        assert [model["id"] for model in models] == [MODEL_NAME]
        assert server.stdin is not None
        # What the system does with a dead process's end of a pipe.
        server.stdin.close()
        assert server.wait() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/health")


@pytest.mark.slow
def test_the_server_stops_with_its_context() -> None:
    port = free_port()
    with pytest.raises(KeyboardInterrupt), running_model(port) as url:
        assert httpx.get(f"{url}/models").is_success
        raise KeyboardInterrupt
    require_free_port(port)
