"""Two Dagster instances with one bucket caption one source at the same time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tests.llm.scripted_model import KEY, MODEL, Endpoint, asked, completion, scripted
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.paths import ROOT
from tests.support.s3 import REGION, S3Bucket, connected, give_credentials, make_bucket
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, FILTERED_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

pytestmark = pytest.mark.soak

SOURCE = "soundbible"
TEXTS = [
    f"The {size} {animal} in the {place} makes its sound in the morning."
    for size, animal, place in product(
        ("small", "large", "young", "happy", "angry"),
        ("dog", "cat", "cow", "hen", "pig", "frog", "duck", "goat"),
        ("yard", "field", "barn", "park", "street"),
    )
]
PRICES = """
source = "this test"
read = 2026-11-01
[models.scripted]
input = 1
output = 2
"""
# The server counts 7 tokens in and 5 out.
PAID_USD = (7 + 2 * 5) / 1e6


@dataclass
class Scene:
    """A model, a bucket with the clips, and the environment that machines share."""

    endpoint: Endpoint
    bucket: S3Bucket
    folder: Path

    def start(self, name: str, month_usd: float) -> subprocess.Popen[bytes]:
        """Materializes the captions, on a machine with an instance and a state folder of its own."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        environment = os.environ | {
            "DAGSTER_HOME": str(home),
            "WAVCAPS_STATE": str(home / "state"),
            "WAVCAPS_STORE": self.bucket.root,
            "WAVCAPS_S3__ENDPOINT_URL": self.bucket.url,
            "WAVCAPS_S3__REGION": REGION,
            "WAVCAPS_LLM__BASE_URL": f"{self.endpoint.root}/v1",
            "WAVCAPS_LLM__MODEL": MODEL,
            "WAVCAPS_LLM__API_KEY": KEY,
            "WAVCAPS_LLM__PRICES": str(self.folder / "prices.toml"),
            "WAVCAPS_LLM__FREE": "false",
            "WAVCAPS_LLM__BUDGET_MONTH_USD": f"{month_usd:.9f}",
        }
        chosen = {"form": "single", "concurrency": 4}
        command = [
            sys.executable,
            "-m",
            "dagster",
            "asset",
            "materialize",
            "-m",
            "wavcaps_assets.definitions",
        ]
        command += ["--select", "llm_captions", "--partition", SOURCE]
        command += ["--config-json", json.dumps({"ops": {"llm_captions": {"config": chosen}}})]
        with (home / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def asked(self) -> Counter[str]:
        return Counter(asked(body) for body in self.endpoint.requests)

    def captions(self) -> int:
        tables = TableStore(Store(self.bucket.root, self.bucket.client))
        return tables.read(["llm_captions"], [SOURCE]).num_rows


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    give_credentials(monkeypatch)
    (tmp_path / "prices.toml").write_text(PRICES)

    def answer(body: dict[str, Any]) -> Response:
        threading.Event().wait(0.2)
        return completion(f"A {' '.join(asked(body).split()[1:3])} is calling.")

    with serving_atomic_s3() as url, scripted(answer, in_threads=True) as endpoint:
        bucket = make_bucket(url, connected(url))
        clips = FILTERED_CLIPS.from_rows(
            {"clip_id": f"{SOURCE}-{n}", "source": SOURCE, "description": text, "tags": [], "events": []}
            for n, text in enumerate(TEXTS)
        )
        tables = TableStore(Store(bucket.root, bucket.client))
        tables.write(["filtered_clips"], SOURCE, Stage(clips, DROPPED.empty()))
        yield Scene(endpoint, bucket, tmp_path)


def test_two_instances_ask_each_question_once(scene: Scene) -> None:
    machines = [scene.start(name, 1.0) for name in ("one", "other")]
    assert [machine.wait(300) for machine in machines] == [0, 0]
    assert scene.captions() == len(TEXTS)
    assert len(scene.asked()) == len(TEXTS) and set(scene.asked().values()) == {1}


def test_two_instances_keep_to_the_months_budget(scene: Scene) -> None:
    """The month has room for a part of the questions. Neither instance sends more, not even in a new run."""
    # A question is about 500 bytes and may have 100 tokens out: some 0.0008 USD at most.
    month = 60 * PAID_USD + 0.02
    for _ in range(2):
        machines = [scene.start(name, month) for name in ("one", "other")]
        assert [machine.wait(300) for machine in machines] == [0, 0]
    billed = len(scene.endpoint.requests) * PAID_USD
    assert scene.endpoint.requests and billed <= month
    assert set(scene.asked().values()) == {1}


def test_an_instance_takes_over_from_a_killed_one(scene: Scene) -> None:
    killed, other = (scene.start(name, 1.0) for name in ("one", "other"))
    while len(scene.endpoint.requests) < 60:
        assert killed.poll() is None
        threading.Event().wait(0.1)
    os.kill(killed.pid, signal.SIGKILL)
    assert other.wait(600) == 0
    assert scene.captions() == len(TEXTS)
    twice = [text for text, times in scene.asked().items() if times > 1]
    assert len(twice) <= 5
    with ResponseLedger(Store(scene.bucket.root, scene.bucket.client), ANSWERS) as ledger:
        assert len({record["key"] for record in ledger.records()}) == len(TEXTS)
