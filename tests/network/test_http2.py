"""HTTP/2 where the server supports it: connections are reused, by one transfer at a time."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wavcaps_assets.network.client import Network
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings

THREADS, FILES = 8, 200


def body(name: str) -> bytes:
    """The content that the server has under this name only."""
    return f"the sound {name} ".encode() * 20_000


class Server:
    """Records HTTP versions and connections of requests."""

    def __init__(self) -> None:
        self.versions: set[str] = set()
        self.ports: set[int] = set()

    async def respond(self, request: Request) -> Response:
        assert request.client
        self.versions.add(request.scope["http_version"])
        self.ports.add(request.client.port)
        return Response(body(request.path_params["name"]))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    listener = socket.create_server(("127.0.0.1", 0))
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keyfile, config.certfile = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    config.errorlog = None
    over = threading.Event()

    async def until_over() -> None:
        await asyncio.to_thread(over.wait)

    app = Starlette(routes=[Route("/{name}", server.respond)])
    thread = threading.Thread(
        target=lambda: asyncio.run(serve(app, config, shutdown_trigger=until_over)),  # type: ignore[arg-type]
        daemon=True,
    )
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    over.set()
    thread.join(10)


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads switch so often that unlocked shared state breaks."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
@pytest.mark.usefixtures("busy_threads")
def test_downloads_reuse_connections_and_do_not_mix(server: Server, url: str, tmp_path: Path) -> None:
    settings = NetworkSettings(private_hosts=frozenset({host_of(url)}), other_quota=UNLIMITED, attempts=1)
    names = [str(number) for number in range(FILES)]
    with Network(tmp_path / "state", settings) as network, ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(network.download, f"{url}/{name}", tmp_path / name) for name in names]
        got = [download.result() for download in asked]
    assert [download.sha256 for download in got] == [hashlib.sha256(body(name)).hexdigest() for name in names]
    assert server.versions == {"2"}
    assert len(server.ports) <= THREADS


def test_an_untrusted_certificate_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    settings = NetworkSettings(private_hosts=frozenset({host_of(url)}), attempts=1)
    with Network(tmp_path / "state", settings) as network, pytest.raises(Exception, match="CERTIFICATE"):
        network.get_text(f"{url}/first")
