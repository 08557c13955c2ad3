"""A bucket whose server is gone for a while: a step waits and goes on, and its leases with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.gate import Gate, gate
from tests.support.s3 import REGION, S3Bucket, connected, give_credentials, make_bucket
from wavcaps_assets.store import bucket_requests, machines, outages, shared_leases
from wavcaps_assets.store.bucket_errors import ServerGone
from wavcaps_assets.store.bucket_requests import connect
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.exclusive import alone
from wavcaps_assets.store.machines import OneMachine
from wavcaps_assets.store.shared_leases import SharedLeases
from wavcaps_assets.store.storage import Store

T = TypeVar("T")

FOLDER, KEY, LOCK = "log/clips", "freesound/2022-11", "log/clips/.lock"
# More than boto3 sends in one request.
LARGE = bytes(9_000_000)


class Away:
    """A bucket behind a gate, as a step, a person, and a machine before the gate see it."""

    def __init__(self, to_server: Gate, bucket: S3Bucket) -> None:
        self.gate = to_server
        client = connect(f"http://127.0.0.1:{to_server.port}", REGION)
        self.step = Store(bucket.root, client, waits=True)
        self.person = Store(bucket.root, client)
        self.near = Store(bucket.root, bucket.client)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving_atomic_s3() as url:
        yield url


@pytest.fixture
def away(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Away]:
    """One attempt for each request, so that an outage is short."""
    give_credentials(monkeypatch)
    monkeypatch.setattr(bucket_requests, "ATTEMPTS", 1)
    monkeypatch.setattr(bucket_requests, "FIRST_WAIT_S", 0)
    monkeypatch.setattr(outages, "AGAIN_S", 0.02)
    with gate(int(server.rpartition(":")[2])) as to_server:
        yield Away(to_server, make_bucket(server, connected(server)))


def through_an_outage(away: Away, request: Callable[[], T]) -> T:
    """What a request comes to that is made while the server is gone."""
    away.gate.shut()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(request)
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        away.gate.open()
        return waiting.result(60)


def read_file(store: Store, relative: str) -> bytes:
    with store.reading(relative) as path:
        return path.read_bytes()


def write_file(store: Store, relative: str, content: bytes) -> None:
    with store.writing(relative) as path:
        path.write_bytes(content)


REQUESTS: dict[str, tuple[Callable[[Store], object], object]] = {
    "exists": (lambda store: store.exists("a/1"), True),
    "size": (lambda store: store.size("a/1"), 3),
    "sizes": (lambda store: store.sizes("a"), {"1": 3, "2": 3}),
    "names": (lambda store: store.names("a"), ["1", "2"]),
    "files": (lambda store: [file.path for file in store.files("a")], ["a/1", "a/2"]),
    "hidden": (lambda store: list(store.hidden("a", ".x")), []),
    "reading": (lambda store: read_file(store, "a/1"), b"one"),
    "read_bytes": (lambda store: store.read_bytes("a/1"), b"one"),
    "read_span": (lambda store: store.read_span("a/1", 1, 9), b"ne"),
    "writing": (lambda store: write_file(store, "a/3", LARGE), None),
    "write_bytes": (lambda store: store.write_bytes("a/3", b"three"), None),
    "create": (lambda store: store.create("a/3", b"three"), True),
    "remove": (lambda store: store.remove("a"), None),
    "remove_files": (lambda store: store.remove_files(["a/1"]), None),
}
LEFT = {"writing": {"1", "2", "3"}, "write_bytes": {"1", "2", "3"}, "create": {"1", "2", "3"}}
LEFT |= {"remove": set(), "remove_files": {"2"}}


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_of_a_step_waits_for_the_server(away: Away, name: str) -> None:
    request, expected = REQUESTS[name]
    away.near.write_bytes("a/1", b"one")
    away.near.write_bytes("a/2", b"two")
    assert through_an_outage(away, lambda: request(away.step)) == expected
    assert away.near.sizes("a").keys() == LEFT.get(name, {"1", "2"})


def test_a_person_and_the_daemon_do_not_wait(away: Away) -> None:
    away.gate.shut()
    for store in (away.person, away.step.without_waiting()):
        with pytest.raises(ServerGone, match="the server does not respond"):
            store.exists("a/1")


def test_a_step_hears_of_it_once_and_ends_when_the_server_stays_away(
    away: Away, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outages, "OUTAGE_S", 0.3)
    caplog.set_level(logging.INFO)
    away.gate.shut()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(away.step.exists, f"a/{number}") for number in range(4)]
        for one in asked:
            with pytest.raises(StoreError, match=r"does not respond.* start the run again when the server"):
                one.result()
    # What follows does not wait as long again.
    monkeypatch.setattr(outages, "AGAIN_S", 1e9)
    with pytest.raises(StoreError, match="start the run again when the server"):
        away.step.exists("a/1")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    away.gate.open()
    assert not away.step.exists("a/1")
    assert "responds again" in caplog.records[-1].message


def test_a_file_that_is_not_there_is_no_outage(away: Away) -> None:
    assert not away.step.exists("a/1")
    with pytest.raises(StoreError, match="no file"):
        away.step.read_bytes("a/1")


@pytest.fixture
def quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease lasts for two seconds."""
    monkeypatch.setattr(shared_leases, "EXPIRES_S", 2.0)
    monkeypatch.setattr(shared_leases, "LOOK_S", 0.7)
    monkeypatch.setattr(shared_leases, "BEAT_S", 0.2)
    monkeypatch.setattr(shared_leases, "POLL_S", 0.05)


@pytest.mark.usefixtures("quick_leases")
def test_a_lease_outlives_an_outage_that_is_longer_although_another_waits_for_it(away: Away) -> None:
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool, alone(away.step, FOLDER, KEY, LOCK) as still_alone:
        waiting = SharedLeases(away.step, FOLDER, "leases")
        assert not waiting.exchange([KEY])

        def wait() -> set[str]:
            got = set[str]()
            while not got:
                got = waiting.exchange([KEY])
                if not ended.wait(0.05):
                    assert not got
            return got

        other = pool.submit(wait)
        away.gate.shut()
        # The outage is as long as a lease and a half.
        threading.Event().wait(3.0)
        away.gate.open()
        still_alone()
        away.step.write_bytes("a/1", b"one")
        still_alone()
        assert not other.done()
        ended.set()
    assert other.result(30) == {KEY}


@pytest.mark.usefixtures("quick_leases")
def test_who_lost_its_lease_in_an_outage_writes_nothing_afterwards(away: Away) -> None:
    """Only the connection of one machine is gone, and another one takes over meanwhile, works and ends."""
    other = SharedLeases(away.near, FOLDER, "leases")
    with alone(away.step, FOLDER, KEY, LOCK) as still_alone, ThreadPoolExecutor(1) as pool:
        away.gate.shut()
        late = pool.submit(away.step.write_bytes, "a/1", b"late")
        while not other.exchange([KEY]):
            threading.Event().wait(0.05)
        other.close()
        away.gate.open()
        with pytest.raises(StoreError, match="another process may have taken it: start the run again"):
            late.result(60)
        with pytest.raises(StoreError, match="start the run again"):
            still_alone()
    assert not away.near.exists("a/1")


@pytest.mark.usefixtures("quick_leases")
def test_other_leases_of_an_owner_are_kept_when_one_is_taken(tmp_path: Path) -> None:
    slept, other = (SharedLeases(Store(tmp_path), FOLDER, "leases") for _ in range(2))
    assert slept.exchange(["a", "b"]) == {"a", "b"}
    while not other.exchange(["a"]):
        threading.Event().wait(0.05)
    with pytest.raises(StoreError, match="another process may have taken it"):
        slept.exchange(["c"])
    slept.require("b")
    assert other.exchange(["b", "c"]) == {"c"}


def test_the_only_machine_goes_on_after_an_outage_unless_another_came(
    away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "BEAT_S", 1e9)
    with OneMachine(away.step, FOLDER) as machine:
        # Others may think now that it is gone, and nobody has come.
        monkeypatch.setattr(machines, "EXPIRES_S", 1e9)
        through_an_outage(away, machine.require)
        monkeypatch.setattr("socket.gethostname", lambda: "another")
        monkeypatch.setattr(machines, "EXPIRES_S", -1.0)
        with OneMachine(away.near, FOLDER):
            pass
        monkeypatch.setattr(machines, "EXPIRES_S", 1e9)
        with pytest.raises(StoreError, match="another one has worked with it since: start the run again"):
            machine.require()
    assert away.near.hidden(FOLDER, ".") == {}
