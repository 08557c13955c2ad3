"""The page log: an interrupted crawl continues, and a finished one starts again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rude_server import RudeServer, answer, in_turn, rude_server
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import BadAnswer, NotThere, Unavailable
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.pages import PageLog
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
from wavcaps_assets.store.storage import Store

FOLDER = "log/pages/freesound/2022-11"


@pytest.fixture
def rude() -> Iterator[RudeServer]:
    with rude_server() as server:
        server.answers["/page"] = answer(b'{"page": "\xc3\xa9"}')
        yield server


@pytest.fixture
def network(rude: RudeServer, tmp_path: Path) -> Iterator[Network]:
    settings = NetworkSettings(private_hosts={host_of(rude.url)}, other_quota=UNLIMITED, attempts=1)
    with Network(tmp_path / "state", settings) as client:
        yield client


def log(tmp_path: Path, done: str | None = None) -> PageLog:
    return PageLog(Store(tmp_path / "store"), FOLDER, done)


def test_a_page_in_the_log_is_not_requested_again(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    url = f"{rude.url}/page"
    with network.using_pages(log(tmp_path)):
        first = network.get_json(url, {"page": 1}, {"Authorization": "Token secret-key"})
        network.post_json(url, {"from": 0})
        with pytest.raises(NotThere):
            network.get_text(f"{rude.url}/nothing")
    pages = log(tmp_path)
    assert pages.read_before == 3
    with network.using_pages(pages):
        assert network.get_json(url, {"page": 1}) == first == {"page": "é"}
        network.post_json(url, {"from": 0})
        with pytest.raises(NotThere):
            network.get_text(f"{rude.url}/nothing")
        assert len(rude.asked) == 3
        network.get_json(url, {"page": 2})
        network.get_json(url, {"page": 1}, reread=1)
        network.post_json(url, {"from": 50})
    assert len(rude.asked) == 6
    written = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*.jsonl"))
    assert b"secret-key" not in written


def test_an_unreadable_page_is_requested_again(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    rude.answers["/page"] = in_turn(answer(b'{"results": ['), answer(b"[]"))
    with network.using_pages(log(tmp_path)), pytest.raises(BadAnswer):
        network.get_json(f"{rude.url}/page")
    with network.using_pages(log(tmp_path)):
        assert network.get_json(f"{rude.url}/page") == []


def test_pages_can_be_discarded(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    rude.answers["/page"] = in_turn(answer(b'{"detail": "maintenance"}'), answer(b"[]"))
    pages = log(tmp_path)
    with network.using_pages(pages):
        assert network.get_json(f"{rude.url}/page") == {"detail": "maintenance"}
        pages.discard()
    with network.using_pages(log(tmp_path)):
        assert network.get_json(f"{rude.url}/page") == []
    assert len(rude.asked) == 2


def test_a_page_that_always_fails_is_skipped(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    rude.answers["/never"] = answer(status="500 Oh")
    for _ in range(5):
        with network.using_pages(log(tmp_path)):
            with pytest.raises(Unavailable):
                network.get_json(f"{rude.url}/never")
            assert network.get_json(f"{rude.url}/page")
    assert rude.times("/never") == 3
    assert rude.times("/page") == 1


def test_pages_of_a_finished_crawl_are_not_used(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    pages = log(tmp_path)
    with network.using_pages(pages):
        network.get_json(f"{rude.url}/page")
    later = log(tmp_path, done=pages.crawl)
    assert (later.read_before, later.crawl != pages.crawl) == (0, True)
    with network.using_pages(later):
        network.get_json(f"{rude.url}/page")
    assert len(rude.asked) == 2


def test_without_a_page_log_every_page_is_requested(
    rude: RudeServer, network: Network, tmp_path: Path
) -> None:
    for _ in range(2):
        network.get_json(f"{rude.url}/page")
    assert len(rude.asked) == 2
