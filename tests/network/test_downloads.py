"""Downloads are complete, checked, and resumed where they were cut."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rude_server import Asked, RudeServer, answer, endless, rude_server
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import TooLarge, Unavailable
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
CUT_AT = 100_000


@pytest.fixture
def rude() -> Iterator[RudeServer]:
    with rude_server() as server:
        yield server


@pytest.fixture
def network(rude: RudeServer, tmp_path: Path) -> Iterator[Network]:
    settings = NetworkSettings(
        private_hosts={host_of(rude.url)},
        other_quota=UNLIMITED,
        attempts=3,
        first_wait_s=0,
        audio_bytes=len(CONTENT),
        failures_in_a_row=100,
    )
    with Network(tmp_path / "state", settings) as client:
        yield client


class Cutting:
    """A file server that cuts its first `cuts` responses; it supports ranges if it has an ETag."""

    def __init__(self, cuts: int, etag: str = '"v1"', content: bytes = CONTENT) -> None:
        self.cuts, self.etag, self.content = cuts, etag, content

    def __call__(self, asked: Asked, connection: socket.socket) -> None:
        start = 0
        headers = {"ETag": self.etag} if self.etag else {}
        status = "200 OK"
        if asked.headers.get("if-range") == self.etag and "range" in asked.headers:
            start = int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))
            status = "206 Partial Content"
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        rest = self.content[start:]
        sent = rest[:CUT_AT] if asked.number <= self.cuts else rest
        answer(sent, status, headers, length=len(rest))(asked, connection)


def test_a_cut_download_is_resumed(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    rude.answers["/a"] = Cutting(cuts=2)
    got = network.download(f"{rude.url}/a", tmp_path / "a", md5=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert (got.bytes, got.sha256, got.resumed_at) == (len(CONTENT), SHA256, 2 * CUT_AT)
    assert [asked.headers.get("range") for asked in rude.asked] == [
        None,
        f"bytes={CUT_AT}-",
        f"bytes={2 * CUT_AT}-",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "state"]


def test_a_later_run_resumes_too(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    rude.answers["/b"] = answer(CONTENT[:5], headers={"ETag": '"v1"'}, length=len(CONTENT))
    with pytest.raises(Unavailable):
        network.download(f"{rude.url}/b", tmp_path / "b")
    rude.answers["/b"] = Cutting(cuts=0)
    assert network.download(f"{rude.url}/b", tmp_path / "b").resumed_at == 5
    assert (tmp_path / "b").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_it_starts_from_the_beginning(
    rude: RudeServer, network: Network, tmp_path: Path, etag: str
) -> None:
    rude.answers["/a"] = Cutting(cuts=1, etag=etag)
    assert network.download(f"{rude.url}/a", tmp_path / "a").resumed_at == 0
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_parts_of_two_versions_are_not_joined(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    other = CONTENT[::-1]

    def changing(asked: Asked, connection: socket.socket) -> None:
        Cutting(1, '"v1"' if asked.number == 1 else '"v2"', CONTENT if asked.number == 1 else other)(
            asked, connection
        )

    rude.answers["/a"] = changing
    network.download(f"{rude.url}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == other


def test_a_range_that_was_not_requested_is_refused(
    rude: RudeServer, network: Network, tmp_path: Path
) -> None:
    wrong = {"ETag": '"v1"', "Content-Range": f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}"}

    def lying(asked: Asked, connection: socket.socket) -> None:
        if asked.number == 2:
            answer(CONTENT[7:], "206 Partial Content", wrong)(asked, connection)
        else:
            Cutting(cuts=1)(asked, connection)

    rude.answers["/a"] = lying
    network.download(f"{rude.url}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_with_a_wrong_md5_is_fetched_again(rude: RudeServer, network: Network, tmp_path: Path) -> None:
    def damaged_once(asked: Asked, connection: socket.socket) -> None:
        answer(CONTENT if asked.number > 1 else CONTENT[:-1] + b"?")(asked, connection)

    rude.answers["/a"] = damaged_once
    network.download(f"{rude.url}/a", tmp_path / "a", md5=MD5.upper())
    assert (tmp_path / "a").read_bytes() == CONTENT
    rude.answers["/b"] = answer(b"other")
    with pytest.raises(Unavailable, match="MD5"):
        network.download(f"{rude.url}/b", tmp_path / "b", md5=MD5)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("claimed", [{}, {"Content-Length": str(10 * 2**30)}, {"Content-Length": "5"}])
def test_an_endless_body_is_cut_and_leaves_no_file(
    rude: RudeServer, network: Network, tmp_path: Path, claimed: dict[str, str]
) -> None:
    rude.answers["/a"] = endless(b"x" * 65536, claimed)
    if claimed.get("Content-Length") == "5":
        # Bytes beyond Content-Length are not part of the file.
        assert network.download(f"{rude.url}/a", tmp_path / "a").bytes == 5
    else:
        with pytest.raises(TooLarge):
            network.download(f"{rude.url}/a", tmp_path / "a")
        assert [path.name for path in tmp_path.iterdir()] == ["state"]


OTHER = bytes(reversed(range(256))) * 1000


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (OTHER, {"ETag": '"v2"'}),
        (OTHER, {"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}),
        (OTHER[:-7], {}),
    ],
    ids=["another ETag", "another date", "another size"],
)
def test_a_rest_of_another_version_restarts_the_file(
    rude: RudeServer, network: Network, tmp_path: Path, content: bytes, headers: dict[str, str]
) -> None:
    """A server that ignores If-Range and sends the rest of whatever it has now."""

    def careless(asked: Asked, connection: socket.socket) -> None:
        if asked.number == 1:
            first = {"ETag": '"v1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
            answer(CONTENT[:CUT_AT], headers=first, length=len(CONTENT))(asked, connection)
        elif "range" in asked.headers:
            about = {"Content-Range": f"bytes {CUT_AT}-{len(content) - 1}/{len(content)}", **headers}
            answer(content[CUT_AT:], "206 Partial Content", about)(asked, connection)
        else:
            answer(content, headers=headers)(asked, connection)

    rude.answers["/a"] = careless
    got = network.download(f"{rude.url}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == content
    assert got.resumed_at == 0


def test_a_server_that_sends_less_than_the_rest_is_asked_for_more(
    rude: RudeServer, network: Network, tmp_path: Path
) -> None:
    def stingy(asked: Asked, connection: socket.socket) -> None:
        if "range" not in asked.headers:
            answer(CONTENT[:CUT_AT], headers={"ETag": '"v1"'}, length=len(CONTENT))(asked, connection)
            return
        start = int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))
        end = min(start + CUT_AT, len(CONTENT))
        about = {"ETag": '"v1"', "Content-Range": f"bytes {start}-{end - 1}/{len(CONTENT)}"}
        answer(CONTENT[start:end], "206 Partial Content", about)(asked, connection)

    rude.answers["/a"] = stingy
    network.download(f"{rude.url}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
