"""A document that machines change at the same time, and leases on it: nothing is lost, nothing held twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.s3 import connected, give_credentials, make_bucket
from wavcaps_assets.store import machines, shared_leases, shared_state
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.machines import OneMachine, has_conditional_writes
from wavcaps_assets.store.shared_leases import SharedLeases, lease_held
from wavcaps_assets.store.shared_state import Document, SharedState
from wavcaps_assets.store.storage import Store

FOLDER = "log/answers"
MACHINES, CHANGES = 4, 15


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving_atomic_s3() as url:
        yield url


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, server: str, monkeypatch: Any) -> Store:
    if request.param == "folder":
        return Store(tmp_path)
    give_credentials(monkeypatch)
    client = connected(server)
    return Store(make_bucket(server, client).root, client)


def add(document: Document) -> None:
    document["count"] = document.get("count", 0) + 1


def count_at_the_same_time(place: Store) -> int:
    """What machines come to that count together."""

    def machine(_: int) -> None:
        state = SharedState(place, FOLDER, "count")
        for _ in range(CHANGES):
            state.change(add)

    with ThreadPoolExecutor(MACHINES) as pool:
        list(pool.map(machine, range(MACHINES)))
    return int(SharedState(place, FOLDER, "count").read()["count"])


@pytest.mark.slow
def test_no_change_is_lost(place: Store) -> None:
    assert count_at_the_same_time(place) == MACHINES * CHANGES


def test_a_file_is_created_once(place: Store) -> None:
    assert place.create("a/b.json", b"1")
    assert not place.create("a/b.json", b"2")
    assert place.read_bytes("a/b.json") == b"1"
    assert place.create("a/.hidden-1", b"")
    assert list(place.hidden("a", ".hidden-")) == [".hidden-1"]
    assert place.sizes("a") == {"b.json": 1}


def test_a_change_whose_response_is_lost_is_made_once(place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    create = place.create
    monkeypatch.setattr(place, "create", lambda *given: create(*given) and False)
    state = SharedState(place, FOLDER, "count")
    for _ in range(3):
        state.change(add)
    assert state.read() == {"count": 3}


def test_old_versions_are_removed_and_a_machine_that_slept_does_no_harm(
    place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper, worker = (SharedState(place, FOLDER, "count") for _ in range(2))
    sleeper.change(add)
    for _ in range(4):
        worker.change(add)
    assert len(place.hidden(FOLDER, ".count-")) == 5
    worker.read()
    assert len(place.hidden(FOLDER, ".count-")) == 5
    # All but the last are old now, and the second number is free again.
    monkeypatch.setattr(shared_state, "KEEP_S", -1.0)
    worker.read()
    assert len(place.hidden(FOLDER, ".count-")) == 1
    monkeypatch.setattr(shared_state, "VERIFY_S", -1.0)
    sleeper.change(add)
    assert worker.read() == {"count": 6}


def test_a_lease_is_held_by_one_owner_until_it_is_released_or_its_owner_ends(place: Store) -> None:
    one, other = (SharedLeases(place, FOLDER, "leases") for _ in range(2))
    assert one.exchange(["a", "b"]) == {"a", "b"}
    assert one.exchange(["a"]) == set()
    assert other.exchange(["a", "c"]) == {"c"}
    assert other.others_changed() and not other.others_changed()
    assert one.exchange(released=["a"]) == set()
    assert other.exchange(["a"]) == {"a"}
    one.close()
    assert other.exchange(["b"]) == {"b"} and other.others_changed()
    # Comes and goes in between.
    third = SharedLeases(place, FOLDER, "leases")
    assert third.exchange(["d"]) == {"d"}
    third.close()
    assert other.exchange(["d"]) == {"d"} and other.others_changed()


@pytest.mark.slow
def test_the_leases_of_a_dead_owner_expire_and_those_of_a_living_one_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_leases, "EXPIRES_S", 1.0)
    monkeypatch.setattr(shared_leases, "BEAT_S", 0.1)
    monkeypatch.setattr(shared_leases, "POLL_S", 0.05)
    dead, living, later = (SharedLeases(Store(tmp_path), FOLDER, "leases") for _ in range(3))
    assert dead.exchange(["a"]) and living.exchange(["b"])
    # The clocks of the machines are minutes apart, and one is set meanwhile.
    monkeypatch.setattr(time, "time", lambda: 0.0)
    until, got = time.monotonic() + 30, set[str]()
    while not got and time.monotonic() < until:
        living.beat()
        got = later.exchange(["a", "b"])
    assert got == {"a"}
    with pytest.raises(StoreError, match="another process may have taken it: start the run again"):
        dead.exchange(["c"])


@pytest.mark.slow
def test_a_lease_is_renewed_while_it_is_held_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_leases, "EXPIRES_S", 1.0)
    monkeypatch.setattr(shared_leases, "BEAT_S", 0.1)
    monkeypatch.setattr(shared_leases, "POLL_S", 0.05)
    one, other = (SharedLeases(Store(tmp_path), FOLDER, "leases") for _ in range(2))
    with lease_held(one, "batches", 1.0), pytest.raises(TimeoutError), lease_held(other, "batches", 1.5):
        pass
    with lease_held(other, "batches", 1.0):
        assert not one.exchange(["batches"])


def test_a_server_that_ignores_conditions_serves_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    give_credentials(monkeypatch)
    monkeypatch.setattr(machines, "KNOWN", {})
    with serving_atomic_s3(ignores_conditions=True) as url:
        client = connected(url)
        store = Store(make_bucket(url, client).root, client)
        assert not has_conditional_writes(store, FOLDER)
        with OneMachine(store, FOLDER), OneMachine(store, FOLDER):
            monkeypatch.setattr("socket.gethostname", lambda: "another")
            with pytest.raises(StoreError, match=r"ignores `If-None-Match`: run one machine at a time"):
                OneMachine(store, FOLDER).__enter__()
            # A machine that died is no longer there after a while.
            monkeypatch.setattr(machines, "EXPIRES_S", -1.0)
            with OneMachine(store, FOLDER) as late:
                # Nor does one go on that slept, and that another one thought dead meanwhile.
                with OneMachine(store, FOLDER):
                    pass
                with pytest.raises(StoreError, match="another one has worked with it since: start the run"):
                    late.require()
        assert store.hidden(FOLDER, ".") == {}


def test_conditional_writes_are_found(place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "KNOWN", {})
    assert has_conditional_writes(place, FOLDER)
    assert place.hidden(FOLDER, ".probe-") == {}
