"""The rules of robots.txt are followed (RFC 9309)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.rude_server import RudeServer, answer, rude_server
from wavcaps_assets.clock import utc_now
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import Disallowed, QuotaExhausted, Unavailable
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings

PAGE = answer(b"<h1>Page")


@pytest.fixture
def rude() -> Iterator[RudeServer]:
    with rude_server() as server:
        server.answers = {"/open.html": PAGE, "/closed/page.html": PAGE}
        yield server


@pytest.fixture
def network(rude: RudeServer, tmp_path: Path) -> Iterator[Network]:
    settings = NetworkSettings(private_hosts={host_of(rude.url)}, other_quota=UNLIMITED, attempts=1)
    with Network(tmp_path, settings) as client:
        yield client


RULES = "User-agent: *\nDisallow: /closed/\nDisallow: /*?print=\n\nUser-agent: wavcaps-on-dagster\n{}"


def test_rules_are_read_once_and_followed(rude: RudeServer, network: Network) -> None:
    rude.answers["/robots.txt"] = answer(RULES.format("Disallow: /closed/").encode())
    assert network.get_page(f"{rude.url}/open.html") == "<h1>Page"
    with pytest.raises(Disallowed, match="robots"):
        network.get_page(f"{rude.url}/closed/page.html")
    assert rude.times("/robots.txt") == 1
    assert rude.times("/closed/page.html") == 0


def test_rules_for_this_crawler_override_those_for_all(rude: RudeServer, network: Network) -> None:
    rude.answers["/robots.txt"] = answer(RULES.format("Allow: /").encode())
    assert network.get_page(f"{rude.url}/closed/page.html") == "<h1>Page"


def test_rules_with_wildcards(rude: RudeServer, network: Network) -> None:
    rude.answers["/robots.txt"] = answer(b"User-agent: *\nDisallow: /*?print=")
    with pytest.raises(Disallowed):
        network.get_page(f"{rude.url}/open.html?print=1")


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "401 Unauthorized", "418 Teapot"])
def test_without_robots_txt_everything_is_allowed(rude: RudeServer, network: Network, status: str) -> None:
    rude.answers["/robots.txt"] = answer(status=status)
    assert network.get_page(f"{rude.url}/open.html") == "<h1>Page"


def test_while_robots_txt_cannot_be_read_nothing_is_allowed(rude: RudeServer, network: Network) -> None:
    rude.answers["/robots.txt"] = answer(status="500 Oh")
    with pytest.raises(Unavailable):
        network.get_page(f"{rude.url}/open.html")
    assert rude.times("/open.html") == 0


def test_crawl_delay_is_respected(rude: RudeServer, network: Network) -> None:
    rude.answers["/robots.txt"] = answer(b"User-agent: *\nCrawl-delay: 1")
    assert network.get_page(f"{rude.url}/open.html")
    assert 0 < network.wait_s(host_of(rude.url)) <= 1


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_hides_no_rule(rude: RudeServer, network: Network, mark: bytes) -> None:
    rude.answers["/robots.txt"] = answer(mark + b"User-agent: *\nDisallow: /closed/")
    with pytest.raises(Disallowed):
        network.get_page(f"{rude.url}/closed/page.html")


@pytest.mark.parametrize("delay", ["1e12", "inf", "99999999999999999999"])
def test_the_longest_crawl_delay_is_a_day(rude: RudeServer, network: Network, delay: str) -> None:
    rude.answers["/robots.txt"] = answer(f"User-agent: *\nCrawl-delay: {delay}".encode())
    for _ in range(2):
        try:
            network.get_page(f"{rude.url}/open.html")
        except QuotaExhausted as pause:
            assert pause.until - utc_now() <= timedelta(days=1)
    assert network.wait_s(host_of(rude.url)) <= 24 * 3600


@pytest.mark.parametrize("delay", ["nan", "-5", "0", "soon"])
def test_a_crawl_delay_without_sense_is_none(rude: RudeServer, network: Network, delay: str) -> None:
    rude.answers["/robots.txt"] = answer(f"User-agent: *\nCrawl-delay: {delay}".encode())
    assert network.get_page(f"{rude.url}/open.html") == "<h1>Page"
    assert network.wait_s(host_of(rude.url)) == 0
