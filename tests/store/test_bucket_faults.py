"""A bucket whose server has faults: downloads that are cut, objects that change, ranges that are ignored."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import formatdate

import pytest

from tests.support.rude_server import Answer, Asked, RudeServer, answer, in_turn, rude_server
from tests.support.s3 import REGION, S3Bucket, give_credentials
from wavcaps_assets.masking import MASK, masked
from wavcaps_assets.store import bucket_requests, outages
from wavcaps_assets.store.bucket_requests import connect
from wavcaps_assets.store.storage import MissingFile, Store, StoreError

CONTENT = bytes(range(256)) * 100
NAME = "wavcaps-bucket"
PATH = f"/{NAME}/audio/a.flac"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waits between attempts: ours and botocore's."""
    give_credentials(monkeypatch)
    monkeypatch.setattr(bucket_requests, "FIRST_WAIT_S", 0)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with rude_server() as rude:
        yield rude


@pytest.fixture
def faulty(server: RudeServer) -> Store:
    return Store(f"s3://{NAME}", connect(server.url, REGION))


def headers(etag: str = '"v1"') -> dict[str, str]:
    return {"ETag": etag, "Last-Modified": formatdate(0, usegmt=True), "Accept-Ranges": "bytes"}


def s3_object(content: bytes, cuts: int = 0, ranges: bool = True, etag: str = '"v1"') -> Answer:
    """An object of a server that cuts its first `cuts` bodies."""
    bodies = 0

    def send(asked: Asked, connection: socket.socket) -> None:
        nonlocal bodies
        if asked.method == "HEAD":
            answer(b"", headers=headers(etag), length=len(content))(asked, connection)
            return
        bodies += 1
        body, status, about = content, "200 OK", headers(etag)
        if ranges and "range" in asked.headers:
            start, end = (int(part) for part in asked.headers["range"].removeprefix("bytes=").split("-"))
            if start >= len(content):
                error(416, "InvalidRange")(asked, connection)
                return
            body, status = content[start : end + 1], "206 Partial Content"
            about["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(content)}"
        sent = body[: len(body) // 2] if bodies <= cuts else body
        answer(sent, status, about, length=len(body))(asked, connection)

    return send


def error(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()

    def send(asked: Asked, connection: socket.socket) -> None:
        sent = b"" if asked.method == "HEAD" else body
        answer(sent, f"{status} Fault", {"Content-Type": "application/xml"}, len(body))(asked, connection)

    return send


def read_file(store: Store) -> bytes:
    with store.reading("audio/a.flac") as path:
        return path.read_bytes()


READS: list[tuple[Callable[[Store], bytes], bytes]] = [
    (lambda store: store.read_bytes("audio/a.flac"), CONTENT),
    (lambda store: store.read_span("audio/a.flac", 1000, 5000), CONTENT[1000:6000]),
    (read_file, CONTENT),
]


@pytest.mark.slow
@pytest.mark.parametrize(("read", "expected"), READS, ids=["bytes", "span", "file"])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_is_repeated(
    server: RudeServer, faulty: Store, read: Callable[[Store], bytes], expected: bytes, ranges: bool
) -> None:
    server.answers[PATH] = s3_object(CONTENT, cuts=3, ranges=ranges)
    assert read(faulty) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("read", "expected"), READS, ids=["bytes", "span", "file"])
def test_a_download_that_is_always_cut_is_an_error_with_advice(
    server: RudeServer, faulty: Store, read: Callable[[Store], bytes], expected: bytes
) -> None:
    server.answers[PATH] = s3_object(CONTENT, cuts=10**6)
    with pytest.raises(StoreError, match="broke off each time") as raised:
        read(faulty)
    assert not isinstance(raised.value, MissingFile)


SPANS = [(0, 0), (5, 0), (0, 10), (3, 7), (20_000, 10**9), (len(CONTENT), 5), (10**9, 5), (10**9, 0)]


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_a_span_is_the_same_in_a_folder_and_a_bucket(store: Store, span: tuple[int, int]) -> None:
    store.write_bytes("audio/a.flac", CONTENT)
    start, size = span
    assert store.read_span("audio/a.flac", start, size) == CONTENT[start : start + size]
    with pytest.raises(MissingFile):
        store.read_span("audio/none.flac", start, size)


@pytest.mark.slow
@pytest.mark.parametrize("span", SPANS, ids=str)
def test_a_span_of_a_server_that_ignores_ranges(
    server: RudeServer, faulty: Store, span: tuple[int, int]
) -> None:
    server.answers[PATH] = s3_object(CONTENT, ranges=False)
    start, size = span
    assert faulty.read_span("audio/a.flac", start, size) == CONTENT[start : start + size]


def test_a_span_of_an_empty_file(store: Store) -> None:
    store.write_bytes("audio/empty", b"")
    assert store.read_span("audio/empty", 0, 10) == b""


def test_an_object_overwritten_during_a_download_is_read_again(bucket: S3Bucket) -> None:
    store = Store(bucket.root, bucket.client)
    old, new = bytes(9_000_000), b"\1" * 9_000_000
    store.write_bytes("weights", old)
    overwritten: list[bool] = []

    def overwrite(model: object, params: dict[str, object], **_: object) -> None:
        # Between the request for the object's size and the first request for a part.
        if not overwritten:
            overwritten.append(True)
            store.write_bytes("weights", new)

    bucket.client.meta.events.register("before-call.s3.GetObject", overwrite)
    try:
        with store.reading("weights") as path:
            assert path.read_bytes() == new
    finally:
        bucket.client.meta.events.unregister("before-call.s3.GetObject", overwrite)


def test_an_object_that_is_always_overwritten_is_an_error_with_advice(
    server: RudeServer, faulty: Store
) -> None:
    def changing(asked: Asked, connection: socket.socket) -> None:
        if asked.method == "HEAD":
            answer(b"", headers=headers(), length=9_000_000)(asked, connection)
        else:
            error(412, "PreconditionFailed")(asked, connection)

    server.answers[PATH] = changing
    with pytest.raises(StoreError, match="overwritten while it was read"):
        read_file(faulty)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "AccessDenied", "lack a permission"),
        (403, "ExpiredToken", "expired"),
        (503, "SlowDown", "busy"),
        (429, "TooManyRequests", "busy"),
        (507, "XMinioStorageFull", "full"),
        (400, "QuotaExceeded", "full"),
        (500, "InternalError", "has a fault"),
        (403, "InvalidObjectState", "archived"),
    ],
)
def test_advice_matches_the_code(
    server: RudeServer, faulty: Store, status: int, code: str, advice: str
) -> None:
    server.answers[PATH] = error(status, code)
    with pytest.raises(StoreError, match=rf"{code}: .*{advice}"):
        if advice == "full":
            faulty.write_bytes("audio/a.flac", b"x")
        else:
            faulty.read_bytes("audio/a.flac")


@pytest.mark.slow
def test_a_client_retries_after_any_number_of_failures(server: RudeServer, faulty: Store) -> None:
    server.answers[PATH] = error(503, "SlowDown")
    for _ in range(40):
        with pytest.raises(StoreError, match="SlowDown"):
            faulty.read_bytes("audio/a.flac")
    server.asked.clear()
    server.answers["/wavcaps-bucket/audio/b.flac"] = in_turn(
        error(503, "SlowDown"), error(500, "InternalError"), s3_object(CONTENT)
    )
    assert faulty.read_bytes("audio/b.flac") == CONTENT


def silent(asked: Asked, connection: socket.socket) -> None:
    """No answer, until the client has had enough."""
    with suppress(OSError):
        connection.recv(1)


@pytest.mark.parametrize("silence", [False, True])
def test_a_step_waits_for_a_server_that_starts_is_busy_or_says_nothing(
    server: RudeServer, monkeypatch: pytest.MonkeyPatch, silence: bool
) -> None:
    monkeypatch.setattr(bucket_requests, "ATTEMPTS", 1)
    monkeypatch.setattr(bucket_requests, "READ_S", 0.2)
    monkeypatch.setattr(outages, "AGAIN_S", 0)
    faults = [silent] if silence else [error(503, "XMinioServerNotInitialized"), error(503, "SlowDown")]
    step = Store(f"s3://{NAME}", connect(server.url, REGION), waits=True)
    server.answers[PATH] = in_turn(*faults, answer(headers=headers()))
    step.write_bytes("audio/a.flac", CONTENT)
    server.answers[f"/{NAME}/audio/b.flac"] = in_turn(*faults, s3_object(CONTENT))
    assert step.read_bytes("audio/b.flac") == CONTENT


def test_credentials_are_masked_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    give_credentials(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never-sent-to-any-server")
    Store("s3://some-bucket/data", connect("http://127.0.0.1:1", REGION))
    assert masked("an echo of never-sent-to-any-server") == f"an echo of {MASK}"
