"""Quotas that machines share: together they never send too many requests, and most of the quota is used."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.network.test_quotas import Clock, most_in
from wavcaps_assets.network.quotas import DAY_S, MINUTE_S, Limit
from wavcaps_assets.network.share_exchange import EXPIRES_S
from wavcaps_assets.network.shared_quotas import OUTAGE_S, USE_S, SharedQuotas
from wavcaps_assets.store import shared_state
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.storage import Store

MINUTE, DAY = Limit(12, MINUTE_S), Limit(80, DAY_S)


class WatchedStore(Store):
    """A folder that counts its changes, and can be gone."""

    changes = 0
    gone = False

    def create(self, relative: str, data: bytes) -> bool:
        if self.gone:
            raise StoreError("the bucket does not respond")
        created = super().create(relative, data)
        WatchedStore.changes += created
        return created

    def hidden(self, folder: str, start: str) -> dict[str, float]:
        if self.gone:
            raise StoreError("the bucket does not respond")
        return super().hidden(folder, start)


@dataclass
class World:
    """Machines with files of their own and one store. All clocks are right or wrong in the same way."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    sent: list[tuple[float, str]] = field(default_factory=list)
    machines: dict[str, SharedQuotas] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        for name in names:
            store = WatchedStore(self.folder / "store")
            self.machines[name] = SharedQuotas(self.folder / name / "quotas", store, self.clock)

    def kill(self, name: str) -> None:
        self.machines.pop(name)._database.close()

    def request(self, name: str, limits: tuple[Limit, ...]) -> float:
        """The time until the machine may send a request; 0: it sent one."""
        request_id, wait = self.machines[name].acquire("host", limits)
        if request_id is not None:
            self.sent.append((self.clock.now, name))
            self.machines[name].complete(request_id)
        return wait

    def run(self, seconds: float, *limits: Limit, step_s: float = 2.5) -> None:
        """Each machine sends requests as fast as it may."""
        until = self.clock.now + seconds
        next_at = dict.fromkeys(self.machines, 0.0)
        while self.clock.now < until:
            for name in self.machines:
                if self.clock.now >= next_at[name]:
                    next_at[name] = self.clock.now + self.request(name, limits)
            self.clock.now += step_s

    def times(self, name: str = "", since: float = 0) -> list[float]:
        return [at for at, by in self.sent if name in ("", by) and at >= since]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # As in life: a version is kept for ten times as long as a machine believes its copy.
    monkeypatch.setattr(shared_state, "KEEP_S", 3.0)
    monkeypatch.setattr(shared_state, "VERIFY_S", 0.3)
    monkeypatch.setattr(shared_state, "FIRST_WAIT_S", 0.0)
    found = World(tmp_path)
    WatchedStore.changes = 0
    yield found
    for name in list(found.machines):
        found.kill(name)


def test_one_machine_uses_the_whole_quota(world: World) -> None:
    world.start("one")
    world.run(600, MINUTE)
    assert most_in(MINUTE_S, world.times()) == 12
    assert len(world.times()) >= 0.95 * 120
    # One every 20 seconds, and some at the start.
    assert WatchedStore.changes <= 600 / 20 + 5


@pytest.mark.slow
@pytest.mark.parametrize("first_alone_s", [0, 200])
def test_machines_share_a_quota_fairly(world: World, first_alone_s: float) -> None:
    world.start("one")
    world.run(first_alone_s, MINUTE)
    world.start("two", "three")
    world.run(200, MINUTE)
    since = world.clock.now
    world.run(300, MINUTE)
    assert most_in(MINUTE_S, world.times()) <= 12
    for name in world.machines:
        assert 18 <= len(world.times(name, since)) <= 22
    assert WatchedStore.changes <= 3 * (first_alone_s + 500) / 10


@pytest.mark.slow
def test_a_dead_machines_share_is_used_when_it_has_expired(world: World) -> None:
    world.start("one", "two")
    world.run(200, MINUTE)
    world.kill("two")
    dead_at = world.clock.now
    world.run(EXPIRES_S + 2 * MINUTE_S, MINUTE)
    assert most_in(MINUTE_S, world.times()) <= 12
    # Until then its slots are not used.
    before = dead_at + EXPIRES_S
    assert len([at for at in world.times("one", dead_at + 1) if at < before]) <= 6 * EXPIRES_S / 60 + 1
    since = world.clock.now
    world.run(120, MINUTE)
    assert len(world.times("one", since)) >= 22
    # It wakes up and has no share any more.
    world.start("two")
    world.run(300, MINUTE)
    assert most_in(MINUTE_S, world.times()) <= 12


@pytest.mark.soak
def test_the_rest_divide_the_share_of_a_dead_machine(world: World) -> None:
    limit = Limit(30, MINUTE_S)
    world.start("one", "two", "three")
    world.run(200, limit, step_s=0.5)
    world.kill("one")
    world.run(EXPIRES_S + 2 * MINUTE_S, limit, step_s=0.5)
    since = world.clock.now
    world.run(120, limit, step_s=0.5)
    assert most_in(MINUTE_S, world.times()) <= 30
    assert [len(world.times(name, since)) for name in ("two", "three")] == pytest.approx([30, 30], abs=3)


def test_a_machine_that_ends_leaves_the_quota_of_the_day_to_others(world: World) -> None:
    world.start("one", "two")
    world.run(200, MINUTE, DAY)
    world.machines.pop("two").close()
    world.run(1200, MINUTE, DAY, step_s=5)
    assert most_in(DAY_S, world.times()) == len(world.times()) == 80


def test_a_machine_that_dies_costs_the_day_a_block(world: World) -> None:
    world.start("one", "two")
    world.run(200, MINUTE, DAY)
    world.kill("two")
    world.run(1200, MINUTE, DAY, step_s=5)
    assert 80 - DAY.requests // 20 - 1 <= len(world.times()) <= 80


def test_the_quota_of_the_day_holds_over_a_restart_of_everything(world: World) -> None:
    world.start("one", "two")
    world.run(200, MINUTE, DAY)
    for name in ("one", "two"):
        world.kill(name)
    world.clock.now += 4 * 3600
    world.start("one", "two")
    world.run(1200, MINUTE, DAY, step_s=5)
    assert len(world.times()) == 80
    assert most_in(DAY_S, world.times()) == 80


def test_a_new_disk_makes_no_new_quota(world: World) -> None:
    world.start("one")
    world.run(200, MINUTE, DAY)
    world.kill("one")
    shutil.rmtree(world.folder / "one")
    world.start("one")
    world.run(1200, MINUTE, DAY, step_s=5)
    assert 74 <= len(world.times()) <= 80


@pytest.mark.slow
def test_a_pause_on_one_machine_holds_on_the_others(world: World) -> None:
    world.start("one", "two")
    world.run(60, MINUTE)
    world.machines["one"].pause("host", 300)
    paused_at = world.clock.now
    world.run(400, MINUTE)
    # Those that had begun to wait for a slot, or read the document just before.
    assert len(world.times("two", paused_at)) == len(world.times("two", paused_at + 300)) + len(
        [at for at in world.times("two", paused_at) if at < paused_at + 6]
    )
    assert not [at for at in world.times("one", paused_at) if at < paused_at + 300]
    assert world.times("one", paused_at + 300) and world.times("two", paused_at + 300)
    # The pause ends once, and is not learnt again.
    world.run(600, MINUTE)
    assert world.times("one", world.clock.now - 30) and world.times("two", world.clock.now - 30)


def test_a_pause_without_limits(world: World) -> None:
    world.start("one", "two")
    assert world.machines["two"].acquire("host", ()) == (None, 0)
    world.machines["one"].pause("host", 60)
    world.clock.now += 5
    assert world.machines["two"].acquire("host", ()) == (None, 60)
    world.clock.now += 60
    assert world.machines["two"].acquire("host", ()) == (None, 0)


def test_without_the_bucket_a_share_is_used_for_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.start("one", "two")
    world.run(100, MINUTE)
    monkeypatch.setattr(WatchedStore, "gone", True)
    gone_at = world.clock.now
    with caplog.at_level(logging.WARNING):
        world.run(300, MINUTE)
    assert "requests go on with this machine's share for up to 60 s, and then wait" in caplog.text
    assert world.times("", gone_at) and max(world.times()) <= gone_at + USE_S
    monkeypatch.setattr(WatchedStore, "gone", False)
    back_at = world.clock.now
    world.run(120, MINUTE)
    assert len(world.times("", back_at)) >= 20
    assert most_in(MINUTE_S, world.times()) <= 12


def test_without_the_bucket_for_long_requests_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start("one")
    world.run(10, MINUTE)
    monkeypatch.setattr(WatchedStore, "gone", True)
    with pytest.raises(StoreError, match=r"machines share the quotas .* could not be used for 6\d\d s"):
        world.run(OUTAGE_S + 60, MINUTE)


@pytest.mark.parametrize("delay_s", [1.0, 10.0])
def test_one_slot_passes_from_machine_to_machine(world: World, delay_s: float) -> None:
    # As the Crawl-delay of a robots.txt.
    world.start("one", "two")
    world.run(200, Limit(1, delay_s), step_s=0.25)
    assert most_in(delay_s, world.times()) == 1
    assert len(world.times()) >= 0.5 * 200 / delay_s
    counts = [len(world.times(name)) for name in ("one", "two")]
    assert min(counts) >= 0.5 * max(counts)


def test_a_copy_of_a_machines_file_is_noticed(world: World) -> None:
    world.start("one")
    world.run(100, MINUTE)
    world.kill("one")
    shutil.copytree(world.folder / "one", world.folder / "copy")
    world.start("one", "copy")
    world.run(400, MINUTE)
    assert most_in(MINUTE_S, world.times()) <= 12
    assert len(world.times("copy")) > 20


def test_machines_with_different_settings_keep_to_the_smallest_limit(world: World) -> None:
    world.start("one", "two")
    until = world.clock.now + 400
    while world.clock.now < until:
        world.request("one", (Limit(12, MINUTE_S),))
        world.request("two", (Limit(6, MINUTE_S),))
        world.clock.now += 2.5
    settled = world.clock.now - 200
    assert most_in(MINUTE_S, world.times("", settled)) <= 6
    assert len(world.times("two", settled)) >= 6


def test_a_limit_that_is_lowered_while_machines_work_holds_for_all_of_them(world: World) -> None:
    world.start("one", "two")
    world.run(120, MINUTE)
    lowered = world.clock.now
    world.run(300, Limit(4, MINUTE_S))
    # Each had a share that was larger than the new limit.
    assert most_in(MINUTE_S, world.times("", lowered + MINUTE_S)) == 4
    assert len(world.times("", lowered + MINUTE_S)) >= 12
    raised = world.clock.now
    world.run(300, MINUTE)
    assert most_in(MINUTE_S, world.times()) <= 12
    assert len(world.times("", raised + 120)) >= 24


def test_a_limit_that_only_one_machine_has_holds_for_all_of_them(world: World) -> None:
    world.start("one", "two")
    next_at = dict.fromkeys(world.machines, 0.0)
    until = world.clock.now + 900
    while world.clock.now < until:
        for name, limits in (("one", (MINUTE, DAY)), ("two", (MINUTE,))):
            if world.clock.now >= next_at[name]:
                next_at[name] = world.clock.now + world.request(name, limits)
        world.clock.now += 2.5
    assert 60 <= len(world.times()) <= DAY.requests


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_no_span_has_too_many_requests(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    limits = (Limit(12, 60.0), Limit(60, 1800.0), Limit(1, 4.0))
    names = ["one", "two", "three"]
    for _ in range(40):
        name = chance.choice(names)
        match chance.randrange(8):
            case 0 if name in world.machines:
                world.kill(name)
            case 1 if name in world.machines:
                world.machines.pop(name).close()
            case 2 if name not in world.machines:
                shutil.rmtree(world.folder / name, ignore_errors=True)
                world.start(name)
            case 3 if name in world.machines:
                world.machines[name].pause("host", chance.uniform(1, 40))
            case 4:
                world.clock.wrong_by += chance.choice([-DAY_S, -500, 500, DAY_S])
            case 5:
                monkeypatch.setattr(WatchedStore, "gone", True)
            case _ if name not in world.machines:
                world.start(name)
        lasting = chance.uniform(5, 120)
        if world.machines:
            world.run(lasting, *limits)
        else:
            world.clock.now += lasting
        monkeypatch.setattr(WatchedStore, "gone", False)
    for limit in limits:
        assert most_in(limit.seconds, world.times()) <= limit.requests, limit
    assert len(world.times()) > 20
