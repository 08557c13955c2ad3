"""The quotas: no span of time ever holds too many requests, whoever makes them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.rude_server import answer, rude_server
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import QuotaExhausted
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.quotas import DAY_S, MINUTE_S, Limit, Quotas
from wavcaps_assets.network.settings import NetworkSettings, Quota

MINUTE = Limit(60, MINUTE_S)
DAY = Limit(2000, DAY_S)


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def most_in(span: float, times: Sequence[float]) -> int:
    """The most of these times that lie in one half-open span."""
    return max(sum(start <= time < start + span for time in times) for start in times)


def test_a_minute_and_a_day_are_kept(tmp_path: Path) -> None:
    clock = Clock()
    sent: list[float] = []
    quotas = Quotas(tmp_path / "quotas", clock)
    while len(sent) < 2_100:
        taken, wait = quotas.take("freesound.org", (MINUTE, DAY))
        if taken is None:
            assert wait > 0
            clock.now += wait
            continue
        sent.append(clock.now)
        clock.now += 0.25
        quotas.answered(taken)
    assert most_in(MINUTE_S, sent[:300]) == 60
    # 2,000 at 60 a minute take 33 minutes; the next one waits for the day to pass.
    assert sent[1999] - sent[0] < 35 * 60
    assert sent[2000] - sent[0] >= DAY_S


def test_a_slow_request_does_not_meet_the_next_minutes(tmp_path: Path) -> None:
    clock = Clock()
    quotas = Quotas(tmp_path / "quotas", clock)
    slow, _ = quotas.take("host", (Limit(1, 60),))
    assert slow is not None
    clock.now += 50
    quotas.answered(slow)
    # The host may have seen it only now.
    assert quotas.take("host", (Limit(1, 60),)) == (None, 60)


def test_hosts_do_not_share(tmp_path: Path) -> None:
    quotas = Quotas(tmp_path / "quotas", Clock())
    assert quotas.take("a", (Limit(1, 60),))[0]
    assert quotas.take("b", (Limit(1, 60),))[0]
    assert quotas.take("a", (Limit(1, 60),))[0] is None


def test_later_runs_know_what_earlier_ones_asked(tmp_path: Path) -> None:
    clock = Clock()
    Quotas(tmp_path / "quotas", clock).take("host", (Limit(1, 60),))
    clock.now += 59
    assert Quotas(tmp_path / "quotas", clock).take("host", (Limit(1, 60),)) == (None, 1)


def test_a_pause_holds_for_all_and_never_gets_shorter(tmp_path: Path) -> None:
    clock = Clock()
    quotas = Quotas(tmp_path / "quotas", clock)
    quotas.pause("host", 100)
    quotas.pause("host", 10)
    assert quotas.take("host", ()) == (None, 100)
    clock.now += 101
    assert quotas.take("host", ()) == (None, 0)


def test_a_clock_that_was_set_back_holds_nothing_up(tmp_path: Path) -> None:
    clock = Clock()
    quotas = Quotas(tmp_path / "quotas", clock)
    quotas.take("host", (Limit(1, 60),))
    clock.now -= 1_000_000
    assert quotas.take("host", (Limit(1, 60),))[0] is not None


ASKER = """
import sys, time
from pathlib import Path
from wavcaps_assets.network.quotas import Limit, Quotas
quotas = Quotas(Path(sys.argv[1]))
until = time.time() + 2.5
while time.time() < until:
    taken, wait = quotas.take("host", (Limit(7, 1.0),))
    if taken is None:
        time.sleep(wait)
    else:
        print(time.time())
"""


def test_processes_share_a_quota(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASKER, str(tmp_path / "quotas")]
    askers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sent = sorted(float(line) for asker in askers for line in asker.communicate(timeout=60)[0].split())
    assert len(sent) >= 14
    # Printed a moment after it was taken: a hundredth less than the span is safe to look at.
    assert most_in(0.99, sent) <= 7


def test_a_crawl_waits_for_its_quota_and_pauses_where_that_takes_long(tmp_path: Path) -> None:
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
