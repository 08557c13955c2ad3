"""The network client against a real server that misbehaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.servers import running
from wavcaps_assets.network import Network, NetworkSettings
from wavcaps_assets.network_errors import (
    BadAnswer,
    HostNotAllowed,
    NotAllowed,
    NotThere,
    TooLarge,
    Unavailable,
)
from wavcaps_assets.sources.base import host_of

SETTINGS = NetworkSettings(
    attempts=3, first_wait_s=0.01, longest_wait_s=0.05, audio_bytes=1000, page_bytes=1000
)


class Misbehaving:
    """A server that counts what it was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.asked[name] += 1
        if name == "heals" and self.asked[name] < 3:
            return Response(status_code=503, headers={"Retry-After": "0"})
        if name.isdigit():
            return Response(status_code=int(name))
        if name == "html":
            return PlainTextResponse("<html>Sorry</html>")
        if name == "elsewhere":
            return RedirectResponse("http://169.254.169.254/latest/meta-data/")
        if name == "circle":
            return RedirectResponse("/circle")
        if name == "endless":
            return StreamingResponse(iter(lambda: b"x" * 100, None))
        return JSONResponse({"user_agent": request.headers["user-agent"], "name": name})


@pytest.fixture
def server() -> Misbehaving:
    return Misbehaving()


@pytest.fixture
def url(server: Misbehaving) -> Iterator[str]:
    with running(Starlette(routes=[Route("/{name}", server.answer, methods=["GET", "POST"])])) as root:
        yield root


@pytest.fixture
def network(url: str) -> Iterator[Network]:
    with Network(frozenset({host_of(url)}), SETTINGS) as client:
        yield client


def test_it_says_who_it_is(url: str) -> None:
    with Network(frozenset({host_of(url)}), NetworkSettings(contact="lab@example.org")) as client:
        assert "wavcaps-on-dagster" in client.get_json(f"{url}/hello")["user_agent"]
        assert "lab@example.org" in client.post_json(f"{url}/hello", {})["user_agent"]


def test_what_can_heal_is_tried_again(network: Network, url: str, server: Misbehaving) -> None:
    assert network.get_json(f"{url}/heals")["name"] == "heals"
    assert server.asked["heals"] == 3


@pytest.mark.parametrize(
    ("name", "error", "requests"),
    [
        ("404", NotThere, 1),
        ("410", NotThere, 1),
        ("401", NotAllowed, 1),
        ("418", BadAnswer, 1),
        ("429", Unavailable, 3),
        ("500", Unavailable, 3),
        ("html", BadAnswer, 1),
    ],
)
def test_each_failure_has_its_name_and_is_asked_no_more_than_helps(
    network: Network, url: str, server: Misbehaving, name: str, error: type[Exception], requests: int
) -> None:
    with pytest.raises(error):
        network.get_json(f"{url}/{name}")
    assert server.asked[name] == requests


def test_nobody_listening_is_unavailable(network: Network) -> None:
    with (
        Network(frozenset({"127.0.0.1:9"}), SETTINGS) as client,
        pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"),
    ):
        client.get_text("http://127.0.0.1:9/")


@pytest.mark.parametrize("address", ["http://169.254.169.254/", "file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_only_named_hosts_are_asked(network: Network, address: str) -> None:
    with pytest.raises((HostNotAllowed, Unavailable)):
        network.get_text(address)


def test_a_redirect_is_followed_to_named_hosts_only(network: Network, url: str) -> None:
    with pytest.raises(HostNotAllowed, match=r"169\.254"):
        network.get_text(f"{url}/elsewhere")


def test_a_circle_of_redirects_ends(network: Network, url: str) -> None:
    with pytest.raises(BadAnswer):
        network.get_text(f"{url}/circle")


def test_an_endless_body_is_cut(network: Network, url: str, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="1000 bytes"):
        network.download(f"{url}/endless", tmp_path / "audio")
    with pytest.raises(TooLarge):
        network.get_text(f"{url}/endless")


def test_a_key_in_the_query_is_not_repeated_in_an_error(network: Network, url: str) -> None:
    with pytest.raises(NotThere) as raised:
        network.get_json(f"{url}/404", params={"token": "secret-key"})
    assert "secret-key" not in str(raised.value)
