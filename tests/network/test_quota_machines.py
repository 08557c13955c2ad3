"""Machines as processes, which share only a bucket: a server that counts never gets too many requests."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.network.test_quotas import most_in
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.dagster_host import wait_until
from tests.support.paths import ROOT
from tests.support.s3 import S3Bucket, connected, give_credentials, make_bucket
from wavcaps_assets.network.quotas import MINUTE_S

# A minute lasts three seconds.
FACTOR = 20.0
SPAN_S = MINUTE_S / FACTOR
PER_MINUTE = 30
# No wait takes longer, however busy the machine is (s).
LONGEST_S = 240.0


@dataclass
class Counted:
    """A server's requests.

    Attributes:
        at: when each came, and from which machine (s).
        throttles: answers the next request with 429 and this Retry-After (s).
    """

    url: str = ""
    at: list[tuple[float, str]] = field(default_factory=list)
    throttles: int = 0

    def times(self, name: str = "", since: float = 0) -> list[float]:
        return [at for at, by in self.at if name in ("", by) and at >= since]


@contextmanager
def counting_server() -> Iterator[Counted]:
    counted = Counted()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            counted.at.append((time.monotonic(), self.path.strip("/")))
            throttle, counted.throttles = counted.throttles, 0
            self.send_response(429 if throttle else 200)
            if throttle:
                self.send_header("Retry-After", str(throttle))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    counted.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield counted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Scene:
    counted: Counted
    bucket: S3Bucket
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, name: str, lasts_s: float, skew_s: float = 0, per_day: int | None = None
    ) -> subprocess.Popen[bytes]:
        given = {
            "factor": FACTOR,
            "state": str(self.folder / name),
            "skew_s": skew_s,
            "url": f"{self.counted.url}/{name}",
            "per_minute": PER_MINUTE,
            "per_day": per_day,
            "root": self.bucket.root,
            "s3": self.bucket.url,
            "lasts_s": lasts_s,
        }
        command = [sys.executable, "-m", "tests.network.quota_machine", json.dumps(given)]
        self.started.append(subprocess.Popen(command, cwd=ROOT))
        return self.started[-1]

    def await_requests(self, name: str, count: int) -> None:
        while len(self.counted.times(name)) < count:
            assert all(process.poll() in (None, -9) for process in self.started)
            time.sleep(0.02)

    def await_span(self, since: float, count: float) -> None:
        """Waits until a span had this many requests. On a busy machine, not every span has."""
        wait_until(
            lambda: most_in(SPAN_S, [since, *self.counted.times("", since)]) >= count,
            LONGEST_S,
            lambda: self.counted.at,
        )

    def wait(self) -> None:
        assert {process.wait(120) for process in self.started} <= {0, -9}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    give_credentials(monkeypatch)
    with serving_atomic_s3() as url, counting_server() as counted:
        found = Scene(counted, make_bucket(url, connected(url)), tmp_path)
        try:
            yield found
        finally:
            for process in found.started:
                process.kill()
                process.wait()


@pytest.mark.soak
def test_three_machines_of_which_one_is_killed(scene: Scene) -> None:
    killed = scene.start("one", 300, skew_s=-420)
    others = [scene.start("two", 300, skew_s=420), scene.start("three", 300)]
    scene.await_requests("one", 25)
    killed.kill()
    killed.wait()
    died_at = time.monotonic()
    # The two that live use what the dead one had, once its share has expired.
    scene.await_span(died_at, 0.9 * PER_MINUTE)
    # It is back, with its folder and a clock that was set a day back.
    already = len(scene.counted.times("one"))
    back = scene.start("one", 300, skew_s=-86_400)
    scene.await_requests("one", already + 25)
    for machine in (back, *others):
        machine.kill()
    assert most_in(SPAN_S, scene.counted.times()) <= PER_MINUTE


@pytest.mark.soak
def test_the_quota_of_a_day_over_restarts(scene: Scene) -> None:
    for _ in range(3):
        first = scene.start("one", 60, per_day=150)
        scene.start("two", 60, skew_s=300, per_day=150)
        already = len(scene.counted.times("one"))
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline and len(scene.counted.times("one")) < already + 20:
            time.sleep(0.05)
        first.kill()
        scene.wait()
        scene.started.clear()
    assert 135 <= len(scene.counted.times()) <= 150


@pytest.mark.soak
def test_retry_after_holds_on_all_machines(scene: Scene) -> None:
    scene.start("one", 25)
    scene.start("two", 25, skew_s=300)
    scene.await_requests("one", 10)
    scene.await_requests("two", 10)
    scene.counted.throttles = 6
    while scene.counted.throttles:
        time.sleep(0.01)
    throttled = time.monotonic()
    scene.wait()
    # The other one reads the document every quarter of a second here.
    assert not [at for at in scene.counted.times() if throttled + 1 < at < throttled + 6]
    assert scene.counted.times("one", throttled + 6) and scene.counted.times("two", throttled + 6)
