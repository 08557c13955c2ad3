"""The network client against a real server that misbehaves."""

from __future__ import annotations

import gzip
import resource
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support.rude_server import Asked, RudeServer, answer, endless, in_turn, rude_server
from tests.support.servers import running
from wavcaps_assets.clock import utc_now
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import (
    AddressNotAllowed,
    BadAnswer,
    HostDown,
    NetworkError,
    NotAllowed,
    NotThere,
    ProxyNotSupported,
    QuotaExhausted,
    Refused,
    TooLarge,
    Unavailable,
)
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
from wavcaps_assets.network.statuses import retry_after_s

GOOD = answer(b'{"good": true}')
MIB = 2**20


@pytest.fixture
def rude() -> Iterator[RudeServer]:
    with rude_server() as server:
        yield server


Opener = Callable[..., Network]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens clients that may connect to a server on this machine, and closes them."""
    clients: list[Network] = []

    def open_client(url: str, **changes: object) -> Network:
        settings = NetworkSettings(
            **{
                "attempts": 3,
                "first_wait_s": 0.01,
                "longest_wait_s": 2.0,
                "failures_in_a_row": 3,
                "read_timeout_s": 0.3,
                "page_bytes": MIB,
                "audio_bytes": MIB,
                "private_hosts": {host_of(url)},
                "other_quota": UNLIMITED,
                **changes,
            }
        )
        clients.append(Network(tmp_path / "state", settings))
        return clients[-1]

    yield open_client
    for client in clients:
        client.__exit__()


def test_the_user_agent_names_the_project_and_the_contact(rude: RudeServer, opened: Opener) -> None:
    rude.answers["/"] = GOOD
    opened(rude.url, contact="lab@example.org").get_json(f"{rude.url}/")
    agent = rude.asked[0].headers["user-agent"]
    assert "wavcaps-on-dagster" in agent and "lab@example.org" in agent


def test_one_connection_serves_many_requests(opened: Opener) -> None:
    ports = set()

    async def hello(request: Request) -> JSONResponse:
        assert request.client
        ports.add(request.client.port)
        return JSONResponse({})

    with running(Starlette(routes=[Route("/", hello)])) as url:
        client = opened(url)
        for _ in range(5):
            client.get_json(f"{url}/")
    assert len(ports) == 1


@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        ([answer(status="503 Busy")], 2),
        ([answer(status="429 Slow down"), answer(status="500 Oh")], 3),
        ([answer(b"half", length=100)], 2),
        ([lambda asked, connection: None], 2),
    ],
    ids=["503", "429 and 500", "cut in the middle", "closed at once"],
)
def test_temporary_failures_are_retried(
    rude: RudeServer, opened: Opener, faults: list[Callable[[Asked, socket.socket], None]], requests: int
) -> None:
    rude.answers["/page"] = in_turn(*faults, GOOD)
    assert opened(rude.url).get_json(f"{rude.url}/page") == {"good": True}
    assert rude.times("/page") == requests


@pytest.mark.slow
@pytest.mark.parametrize(
    ("response", "error", "requests"),
    [
        (answer(status="404 Not Found"), NotThere, 1),
        (answer(status="410 Gone"), NotThere, 1),
        (answer(status="401 Unauthorized"), Refused, 1),
        (answer(status="403 Forbidden"), Refused, 1),
        (answer(status="418 Teapot"), BadAnswer, 1),
        (answer(status="500 Oh"), Unavailable, 3),
        (answer(b"<html>Sorry</html>"), BadAnswer, 1),
        (answer(b'{"results": [{"id": 1'), BadAnswer, 1),
        (answer(b"\xff\xfe{}"), BadAnswer, 1),
        (answer(b"[" * 200_000), BadAnswer, 1),
        (answer(b"?", headers={"Content-Encoding": "br"}), BadAnswer, 1),
        (answer(b"not gzip", headers={"Content-Encoding": "gzip"}), BadAnswer, 1),
        (answer(b"half", length=1000), Unavailable, 3),
        (answer(b"no header", status="200 OK\r\nbroken header"), Unavailable, 3),
        (endless(b"x" * 65536), TooLarge, 1),
        (endless(b"x" * 65536, {"Content-Length": str(10 * 2**30)}), TooLarge, 1),
    ],
)
def test_each_failure_has_its_error_and_no_useless_retries(
    rude: RudeServer,
    opened: Opener,
    response: Callable[[Asked, socket.socket], None],
    error: type[Exception],
    requests: int,
) -> None:
    rude.answers["/page"] = response
    with pytest.raises(error):
        opened(rude.url).get_json(f"{rude.url}/page")
    assert rude.times("/page") == requests


def test_a_401_is_about_the_key_that_was_sent(rude: RudeServer, opened: Opener) -> None:
    rude.answers["/page"] = answer(status="401 Unauthorized")
    with pytest.raises(NotAllowed) as raised:
        opened(rude.url).get_json(f"{rude.url}/page", headers={"Authorization": "Token secret-key"})
    assert "secret-key" not in str(raised.value)
    with pytest.raises(Refused):
        opened(rude.url).get_json(f"{rude.url}/page")


def test_a_key_in_the_query_is_not_repeated_in_an_error(rude: RudeServer, opened: Opener) -> None:
    with pytest.raises(NotThere) as raised:
        opened(rude.url).get_json(f"{rude.url}/page", params={"token": "secret-key"})
    assert "secret-key" not in str(raised.value)


def test_a_silent_server_times_out(rude: RudeServer, opened: Opener) -> None:
    over = threading.Event()
    rude.answers["/page"] = lambda asked, connection: (over.wait(5), None)[1]
    with pytest.raises(Unavailable, match="timed out"):
        opened(rude.url, attempts=1).get_json(f"{rude.url}/page")
    over.set()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["body", "headers"])
def test_a_server_that_never_ends_its_response_times_out(
    rude: RudeServer, opened: Opener, where: str
) -> None:
    over = threading.Event()

    def drip(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            connection.sendall(b"x")

    rude.answers["/page"] = endless(b"x", wait=over) if where == "body" else drip
    client = opened(rude.url, attempts=1, page_timeout_s=0.5)
    with pytest.raises(Unavailable):
        client.get_text(f"{rude.url}/page")
    over.set()
    # The next request has its full time.
    rude.answers["/page"] = GOOD
    assert client.get_json(f"{rude.url}/page") == {"good": True}


@pytest.mark.slow
def test_a_compressed_page_is_read_and_a_bomb_is_not(rude: RudeServer, opened: Opener) -> None:
    gzipped = {"Content-Encoding": "gzip"}
    rude.answers["/page"] = answer(gzip.compress(b'{"good": true}'), headers=gzipped)
    # 1 GiB of zeros in 1 MiB.
    deflate = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(deflate.compress(bytes(MIB)) for _ in range(1024)), deflate.flush()])
    rude.answers["/bomb"] = answer(bomb, headers=gzipped)
    rude.answers["/cut"] = answer(gzip.compress(b'{"good": true}' * 100)[:-9], headers=gzipped)
    client = opened(rude.url)
    assert client.get_json(f"{rude.url}/page") == {"good": True}
    with pytest.raises(TooLarge):
        client.get_text(f"{rude.url}/bomb")
    with pytest.raises(BadAnswer, match="middle"):
        client.get_text(f"{rude.url}/cut")


@pytest.mark.slow
def test_retry_after_is_respected(rude: RudeServer, opened: Opener) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    rude.answers["/date"] = in_turn(answer(status="503 Busy", headers={"Retry-After": soon}), GOOD)
    rude.answers["/seconds"] = in_turn(answer(status="429 Slow", headers={"Retry-After": "1"}), GOOD)
    client = opened(rude.url)
    for path in ("/date", "/seconds"):
        before = utc_now()
        assert client.get_json(f"{rude.url}{path}") == {"good": True}
        assert utc_now() - before >= timedelta(seconds=0.9 if path == "/seconds" else 0.0)
        assert rude.times(path) == 2


def test_a_long_retry_after_pauses_all_clients(rude: RudeServer, opened: Opener) -> None:
    rude.answers["/page"] = answer(status="429 Quota", headers={"Retry-After": "3600"})
    with pytest.raises(QuotaExhausted) as raised:
        opened(rude.url).get_json(f"{rude.url}/page")
    assert timedelta(minutes=59) < raised.value.until - utc_now() <= timedelta(hours=1)
    # Another client, as in another process, sends no request.
    with pytest.raises(QuotaExhausted):
        opened(rude.url).get_json(f"{rude.url}/other")
    assert len(rude.asked) == 1


def test_throttling_without_a_date_is_a_pause_and_not_a_failure(rude: RudeServer, opened: Opener) -> None:
    rude.answers["/page"] = answer(b'{"detail": "Throttled:\n60/minute"}', status="429 Too Many Requests")
    client = opened(rude.url)
    with pytest.raises(QuotaExhausted, match=r"too many requests.*Throttled: 60/minute") as first:
        client.get_json(f"{rude.url}/page")
    assert rude.times("/page") == 3
    assert first.value.in_vain


def test_a_quota_that_is_used_up_after_some_requests_was_not_in_vain(
    rude: RudeServer, opened: Opener
) -> None:
    rude.answers["/good"] = GOOD
    rude.answers["/page"] = answer(status="429 Quota", headers={"Retry-After": "3600"})
    client = opened(rude.url)
    client.get_json(f"{rude.url}/good")
    for path in ("page", "good"):
        with pytest.raises(QuotaExhausted) as raised:
            client.get_json(f"{rude.url}/{path}")
        assert not raised.value.in_vain


def test_a_host_that_fails_in_a_row_is_paused(rude: RudeServer, opened: Opener) -> None:
    rude.answers["/page"] = answer(status="500 Oh")
    rude.answers["/good"] = GOOD
    client = opened(rude.url)
    for _ in range(2):
        with pytest.raises(Unavailable):
            client.get_json(f"{rude.url}/page")
    assert client.get_json(f"{rude.url}/good") == {"good": True}
    for _ in range(2):
        with pytest.raises(Unavailable):
            client.get_json(f"{rude.url}/page")
    with pytest.raises(HostDown, match="3 times in a row"):
        client.get_json(f"{rude.url}/page")
    asked = len(rude.asked)
    with pytest.raises(QuotaExhausted):
        client.get_json(f"{rude.url}/good")
    assert len(rude.asked) == asked


def test_nobody_listening_is_unavailable(opened: Opener) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        opened("http://127.0.0.1:9").get_text("http://127.0.0.1:9/")


def test_a_redirect_to_a_private_address_is_not_followed(rude: RudeServer, opened: Opener) -> None:
    with rude_server() as inner:
        inner.answers["/secret"] = GOOD
        port = inner.url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "0.0.0.0"):
            rude.answers["/page"] = answer(
                status="302 Found", headers={"Location": f"http://{host}:{port}/secret"}
            )
            with pytest.raises((AddressNotAllowed, Unavailable)):
                opened(rude.url, attempts=1, failures_in_a_row=100).get_json(f"{rude.url}/page")
        assert inner.asked == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://169.254.169.254/"])
def test_a_redirect_leads_to_public_http_only(rude: RudeServer, opened: Opener, location: str) -> None:
    rude.answers["/page"] = answer(status="302 Found", headers={"Location": location})
    with pytest.raises(AddressNotAllowed):
        opened(rude.url).get_json(f"{rude.url}/page")
    with pytest.raises(AddressNotAllowed):
        opened(rude.url).get_json(location)


def test_a_redirect_to_another_host_does_not_get_the_key(rude: RudeServer, opened: Opener) -> None:
    with rude_server() as other:
        other.answers["/file"] = GOOD
        rude.answers["/page"] = answer(status="302 Found", headers={"Location": f"{other.url}/file"})
        client = opened(rude.url, private_hosts={host_of(rude.url), host_of(other.url)})
        client.get_json(f"{rude.url}/page", headers={"Authorization": "Token secret-key"})
        assert "authorization" in rude.asked[0].headers
        assert "authorization" not in other.asked[0].headers


@pytest.mark.slow
def test_the_body_of_a_redirect_is_not_read(rude: RudeServer, opened: Opener) -> None:
    # 64 MiB of zeros; and a body without end.
    bomb = gzip.compress(bytes(64 * MIB))
    rude.answers["/bomb"] = answer(bomb, "302 Found", {"Location": "/good", "Content-Encoding": "gzip"})
    rude.answers["/long"] = endless(b"x" * 65536, {"Location": "/good"}, status="302 Found")
    rude.answers["/good"] = GOOD
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    client = opened(rude.url)
    assert client.get_json(f"{rude.url}/bomb") == client.get_json(f"{rude.url}/long") == {"good": True}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


def test_the_longest_retry_after_is_a_day(rude: RudeServer, opened: Opener) -> None:
    for value in ("9" * 14, "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"):
        rude.answers["/page"] = answer(status="503 Busy", headers={"Retry-After": value})
        with pytest.raises(QuotaExhausted) as raised:
            opened(rude.url).get_json(f"{rude.url}/page")
        assert raised.value.until - utc_now() <= timedelta(days=1)


def test_a_404_shows_that_the_host_responds(rude: RudeServer, opened: Opener) -> None:
    rude.answers["/bad"] = answer(status="500 Oh")
    client = opened(rude.url, attempts=1)
    for _ in range(4):
        with pytest.raises(Unavailable):
            client.get_text(f"{rude.url}/bad")
        with pytest.raises(NotThere):
            client.get_text(f"{rude.url}/nothing")


def test_a_circle_of_redirects_ends(rude: RudeServer, opened: Opener) -> None:
    rude.answers["/page"] = answer(status="302 Found", headers={"Location": "/page"})
    with pytest.raises(BadAnswer):
        opened(rude.url).get_text(f"{rude.url}/page")


@pytest.mark.slow
@pytest.mark.parametrize("value", ["0", " 0 ", "-5", "0.0", "soon", "Sun, 06 Nov 1994 08:49:37 GMT"])
@pytest.mark.parametrize("status", ["503 Busy", "429 Too Many Requests"])
def test_a_retry_after_in_the_past_does_not_shorten_our_own_waits(
    rude: RudeServer, opened: Opener, value: str, status: str
) -> None:
    rude.answers["/page"] = in_turn(answer(status=status, headers={"Retry-After": value}), GOOD)
    client = opened(rude.url, first_wait_s=0.2)
    before = time.monotonic()
    assert client.get_json(f"{rude.url}/page") == {"good": True}
    # The first wait is `first_wait_s`, plus some jitter.
    assert time.monotonic() - before >= 0.2


def test_cookies_are_bounded_and_last_for_one_page(rude: RudeServer, opened: Opener) -> None:
    cookies = "\r\n".join(f"Set-Cookie: name{number}=value" for number in range(500))
    large = f"Set-Cookie: large={'x' * 50_000}"
    headers = {"Location": "/next", "X-Start": f"1\r\n{large}\r\n{cookies}"}
    rude.answers["/page"] = answer(status="302 Found", headers=headers)
    rude.answers["/next"] = GOOD
    client = opened(rude.url)
    for _ in range(2):
        client.get_json(f"{rude.url}/page")
    first, after_redirect, second, _ = (asked.headers.get("cookie", "") for asked in rude.asked)
    assert (first, second) == ("", "")
    assert 1 <= after_redirect.count("=value") <= 50
    assert "large" not in after_redirect


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_refused_with_what_to_do(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = opened("http://127.0.0.1:1")
    with pytest.raises(ProxyNotSupported, match=rf"{name.upper()} is set.*NO_PROXY") as raised:
        client.get_json("http://sounds.example.org/")
    assert not isinstance(raised.value, NetworkError)


def test_hosts_without_a_proxy_are_reached_directly(
    rude: RudeServer, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    rude.answers["/page"] = GOOD
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    # Your own servers are never behind the proxy.
    assert opened(rude.url).get_json(f"{rude.url}/page") == {"good": True}
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(AddressNotAllowed):
        opened(rude.url, private_hosts=frozenset()).get_json(f"{rude.url}/page")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        # The three formats of a date that a server may use (RFC 9110, section 5.6.7).
        ("Sun, 06 Nov 2094 08:49:37 GMT", 86_400),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("Sat Nov  6 08:49:37 2094", 86_400),
        ("Sat, 06 Nov 2094 08:49:37 -0000", 86_400),
        ("Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("Sun Nov  6 08:49:37 1994", None),
        ("Sat, 31 Feb 2094 00:00:00 GMT", None),
        ("Sun, 06 Nov 2094 08:49:37 +99999999999", None),
        ("120", 120),
        ("9" * 5000, 86_400),
        *((value, None) for value in ("", "0", "-5", "1.5", "120, 240", "1e5", "soon")),
    ],
)
def test_every_form_of_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_s(value) == seconds
