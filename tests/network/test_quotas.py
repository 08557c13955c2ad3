"""The rate limiter: no span of time has too many requests, from any process."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.rude_server import answer, rude_server
from wavcaps_assets.clock import Moment
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import QuotaExhausted
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.quotas import DAY_S, MINUTE_S, Limit, Quotas
from wavcaps_assets.network.settings import NetworkSettings, Quota

MINUTE = Limit(60, MINUTE_S)
DAY = Limit(2000, DAY_S)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        # How far the time of day is wrong (s).
        self.wrong_by = 0.0
        self.boot = "first"

    def __call__(self) -> Moment:
        return Moment(self.now + self.wrong_by, self.now, self.boot)

    def monotonic(self) -> float:
        return self.now


def most_in(span: float, times: Sequence[float]) -> int:
    """The most of these times that lie in one half-open span."""
    return max(sum(start <= time < start + span for time in times) for start in times)


@pytest.mark.slow
def test_the_limits_of_a_minute_and_a_day_hold(tmp_path: Path) -> None:
    clock = Clock()
    sent: list[float] = []
    quotas = Quotas(tmp_path / "quotas", clock)
    while len(sent) < 2_100:
        request_id, wait = quotas.acquire("freesound.org", (MINUTE, DAY))
        if request_id is None:
            assert wait > 0
            clock.now += wait
            continue
        sent.append(clock.now)
        clock.now += 0.25
        quotas.complete(request_id)
    assert most_in(MINUTE_S, sent[:300]) == 60
    # 2,000 requests at 60 per minute take 33 minutes; the next one waits for the rest of the day.
    assert sent[1999] - sent[0] < 35 * 60
    assert sent[2000] - sent[0] >= DAY_S


def test_a_slow_request_counts_when_it_completes(tmp_path: Path) -> None:
    clock = Clock()
    quotas = Quotas(tmp_path / "quotas", clock)
    slow, _ = quotas.acquire("host", (Limit(1, 60),))
    assert slow is not None
    clock.now += 50
    quotas.complete(slow)
    # The host may have counted it only now.
    assert quotas.acquire("host", (Limit(1, 60),)) == (None, 60)


def test_each_host_has_its_own_quota(tmp_path: Path) -> None:
    quotas = Quotas(tmp_path / "quotas", Clock())
    assert quotas.acquire("a", (Limit(1, 60),))[0]
    assert quotas.acquire("b", (Limit(1, 60),))[0]
    assert quotas.acquire("a", (Limit(1, 60),))[0] is None


def test_later_runs_count_the_requests_of_earlier_ones(tmp_path: Path) -> None:
    clock = Clock()
    Quotas(tmp_path / "quotas", clock).acquire("host", (Limit(1, 60),))
    clock.now += 59
    assert Quotas(tmp_path / "quotas", clock).acquire("host", (Limit(1, 60),)) == (None, 1)


def test_a_pause_holds_for_all_and_is_never_shortened(tmp_path: Path) -> None:
    clock = Clock()
    quotas = Quotas(tmp_path / "quotas", clock)
    quotas.pause("host", 100)
    quotas.pause("host", 10)
    assert quotas.acquire("host", ()) == (None, 100)
    clock.now += 101
    assert quotas.acquire("host", ()) == (None, 0)


@pytest.mark.parametrize("set_by_s", [-1_000_000, -300, 300, 2 * DAY_S])
def test_a_clock_that_is_set_changes_nothing(tmp_path: Path, set_by_s: float) -> None:
    clock = Clock()
    quotas = Quotas(tmp_path / "quotas", clock)
    assert quotas.acquire("host", (Limit(1, 60),))[0]
    quotas.pause("other", 100)
    clock.wrong_by = set_by_s
    clock.now += 10
    assert quotas.acquire("host", (Limit(1, 60),)) == (None, 50)
    assert quotas.acquire("other", ()) == (None, 90)
    clock.now += 50
    assert quotas.acquire("host", (Limit(1, 60),))[0]


@pytest.mark.parametrize(("set_by_s", "wait_s"), [(0, 50), (-1_000_000, 60)])
def test_after_a_restart_of_the_machine_the_time_of_day_counts(
    tmp_path: Path, set_by_s: float, wait_s: float
) -> None:
    clock = Clock()
    assert Quotas(tmp_path / "quotas", clock).acquire("host", (Limit(1, 60),))[0]
    clock.boot, clock.wrong_by = "second", set_by_s
    clock.now += 10
    assert Quotas(tmp_path / "quotas", clock).acquire("host", (Limit(1, 60),)) == (None, wait_s)


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    clock = Clock()
    with sqlite3.connect(tmp_path / "quotas") as old:
        old.executescript("""
            create table requests (id integer primary key, host text not null, at real not null);
            create table pauses (host text primary key, until real not null);
        """)
        old.execute("insert into requests (host, at) values ('host', ?)", (clock.now - 20,))
        # Written before the clock was set back by a day.
        old.execute("insert into requests (host, at) values ('ahead', ?)", (clock.now + DAY_S,))
        old.execute("insert into pauses values ('paused', ?)", (clock.now + 30,))
    quotas = Quotas(tmp_path / "quotas", clock)
    assert quotas.acquire("host", (Limit(1, 60),)) == (None, 40)
    assert quotas.acquire("ahead", (Limit(1, 60),)) == (None, 60)
    assert quotas.acquire("paused", ()) == (None, 30)


REQUESTER = """
import sys, time
from pathlib import Path
from wavcaps_assets.network.quotas import Limit, Quotas
quotas = Quotas(Path(sys.argv[1]))
until = time.time() + 2.5
while time.time() < until:
    request_id, wait = quotas.acquire("host", (Limit(7, 1.0),))
    if request_id is None:
        time.sleep(wait)
    else:
        print(time.time())
        quotas.complete(request_id)
"""


@pytest.mark.slow
def test_processes_share_a_quota(tmp_path: Path) -> None:
    command = [sys.executable, "-c", REQUESTER, str(tmp_path / "quotas")]
    requesters = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sent = sorted(
        float(line) for requester in requesters for line in requester.communicate(timeout=60)[0].split()
    )
    assert len(sent) >= 14
    # A request is printed a moment after it was counted, so look at a hundredth less than the span.
    assert most_in(0.99, sent) <= 7


def test_a_crawl_pauses_when_its_quota_is_used_up(tmp_path: Path) -> None:
    with rude_server() as server:
        server.answers["/"] = answer(b"{}")
        host = host_of(server.url)
        settings = NetworkSettings(
            private_hosts={host}, quotas={host: Quota(per_minute=None, per_day=3)}, longest_wait_s=60
        )
        with Network(tmp_path, settings) as network:
            for _ in range(3):
                network.get_json(f"{server.url}/")
            with pytest.raises(QuotaExhausted, match="used up"):
                network.get_json(f"{server.url}/")
        assert len(server.asked) == 3
