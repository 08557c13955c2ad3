"""Two machines with one bucket: each question is asked once, and the month's budget holds.

The machines are processes that share nothing but the bucket, and whose clocks are minutes apart.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tests.llm.scripted_model import MODEL, PRICES, Endpoint, asked, completion, scripted
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.paths import ROOT
from tests.support.s3 import S3Bucket, connected, give_credentials, make_bucket
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.store.storage import Store

TEXTS = [f"dog number {number:02}" for number in range(40)]
# One USD a token in, two a token out. The server counts 7 and 5 tokens.
PAID = 7 + 2 * 5
# 13 bytes, 16 for the message, 64 for the template, 10 tokens out.
WORST = 13 + 16 + 64 + 2 * 10
EXPIRES_S = 6.0


@dataclass
class Scene:
    """A model, which may be busy, a bucket, and the machines that are started."""

    endpoint: Endpoint
    bucket: S3Bucket
    folder: Path
    busy: threading.Event
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, host: str, skew_s: float, month_usd: float) -> subprocess.Popen[str]:
        given = {
            "host": host,
            "skew_s": skew_s,
            "month_usd": month_usd,
            "expires_s": EXPIRES_S,
            "llm": self.endpoint.root,
            "s3": self.bucket.url,
            "root": self.bucket.root,
            "prices": str(self.folder / "prices.toml"),
            "texts": TEXTS,
        }
        command = [sys.executable, "-m", "tests.llm.machine", json.dumps(given)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def asked(self) -> Counter[str]:
        return Counter(asked(body) for body in self.endpoint.requests)

    def month(self) -> float:
        """What the bucket's total of the month says (USD)."""
        store = Store(self.bucket.root, self.bucket.client)
        prices = self.folder / "prices.toml"
        llm = self.endpoint.model().settings.model_copy(update={"prices": prices, "budget_month_usd": 1e9})
        with (
            ResponseLedger(store, ANSWERS) as ledger,
            Budget(load_prices(prices), MODEL, ledger, llm) as budget,
        ):
            return budget.month_usd


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    give_credentials(monkeypatch)
    (tmp_path / "prices.toml").write_text(PRICES)

    busy = threading.Event()

    def answer(body: dict[str, Any]) -> Response | int:
        if busy.is_set():
            return 429
        threading.Event().wait(0.03)
        return completion(f"About {asked(body)}.")

    with serving_atomic_s3() as url, scripted(answer, in_threads=True) as endpoint:
        found = Scene(endpoint, make_bucket(url, connected(url)), tmp_path, busy)
        try:
            yield found
        finally:
            for process in found.started:
                if process.poll() is None:
                    process.kill()
                process.communicate()


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found = json.loads(out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_each_question_is_asked_once(scene: Scene) -> None:
    machines = [scene.start("one", -420, 1e6), scene.start("other", 420, 1e6)]
    results = [result(machine) for machine in machines]
    assert [one["stopped"] for one in results] == ["", ""]
    assert results[0]["answers"] == results[1]["answers"] == {text: f"About {text}." for text in TEXTS}
    assert scene.asked() == dict.fromkeys(TEXTS, 1)
    # Nothing stays reserved.
    assert scene.month() == pytest.approx(len(TEXTS) * PAID)


@pytest.mark.soak
def test_the_months_budget_holds_for_both(scene: Scene) -> None:
    limit = 10 * PAID + 4 * WORST
    machines = [scene.start("one", 300, limit), scene.start("other", -300, limit)]
    results = [result(machine) for machine in machines]
    assert any("BudgetExhausted" in one["stopped"] for one in results)
    billed = len(scene.endpoint.requests) * PAID
    assert set(scene.asked().values()) == {1}
    assert scene.month() == pytest.approx(billed)
    # The last requests would fit at what they cost, not at what they may cost.
    assert limit - 2 * 4 * WORST < billed <= limit


@pytest.mark.soak
def test_a_killed_machine_holds_no_lease_for_long(scene: Scene) -> None:
    killed, other = scene.start("one", 400, 1e6), scene.start("other", -400, 1e6)
    while len(scene.endpoint.requests) < 20:
        assert killed.poll() is None
        threading.Event().wait(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    found = result(other)
    assert found["stopped"] == "" and set(found["answers"]) == set(TEXTS)
    # What the killed machine had sent and not stored is asked again.
    twice = [text for text, times in scene.asked().items() if times > 1]
    assert len(twice) <= 5 and max(scene.asked().values()) <= 2
    assert scene.month() >= len(scene.endpoint.requests) * PAID


@pytest.mark.slow
def test_a_machine_that_slept_asks_nothing_that_another_has_asked_since(scene: Scene) -> None:
    """It had leased requests, and waited because the endpoint was busy."""
    scene.busy.set()
    slept = scene.start("one", 400, 1e6)
    while len(scene.endpoint.requests) < 4:
        assert slept.poll() is None
        threading.Event().wait(0.01)
    os.kill(slept.pid, signal.SIGSTOP)
    scene.busy.clear()
    refused = len(scene.endpoint.requests)
    other = result(scene.start("other", -400, 1e6))
    os.kill(slept.pid, signal.SIGCONT)
    found = result(slept)
    assert other["stopped"] == "" and set(other["answers"]) == set(TEXTS)
    assert found["stopped"] == "" and found["answers"] == other["answers"]
    assert Counter(asked(body) for body in scene.endpoint.requests[refused:]) == dict.fromkeys(TEXTS, 1)
