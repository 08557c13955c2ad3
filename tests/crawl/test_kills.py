"""Killed at random moments and started again, a crawl ends with what an unbroken one has."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.crawl_everything import WORKERS
from tests.support.paths import ROOT
from tests.support.servers import running
from wavcaps_assets.checks.ledgers import check_reconciled
from wavcaps_assets.demo.server import create_app
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = pytest.mark.slow

KILLS = 50
# As slow as a near site. The kills leave an unbroken crawl's time undone until the last of them.
LATENCY_S = 0.05
LONGEST_S = 0.12
SEED = 2303
TIMES = {"crawled_at", "first_crawled_at", "fetched_at", "at", "round"}
ASSETS = ("raw_clips", "audio", "ledger")


class Counting:
    """Counts the requests of each run, and makes each wait a little, as a real site does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.runs: list[Counter[str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # A POST tells what it asks for in its body.
            body = b""
            more = scope["method"] == "POST"
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            self.runs[-1][f"{scope['path']}?{scope['query_string'].decode()} {body.decode()}"] += 1

            async def replay() -> dict[str, object]:
                return {"type": "http.request", "body": body, "more_body": False}

            await asyncio.sleep(LATENCY_S)
            await self._app(scope, replay if body else receive, send)
        else:
            await self._app(scope, receive, send)


@contextmanager
def crawl_of(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that crawls everything into a folder."""
    environment = {
        **os.environ,
        "WAVCAPS_STORE": str(folder / "store"),
        "WAVCAPS_STATE": str(folder / "state"),
        "WAVCAPS_EMBEDDED_SOURCES_PORT": url.rpartition(":")[2],
    }
    command = [sys.executable, "-m", "tests.support.crawl_everything"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def tables_of(folder: Path) -> dict[str, list[dict[str, object]]]:
    """All rows of all tables, without the times."""
    tables = TableStore(Store(folder / "store"))
    found: dict[str, list[dict[str, object]]] = {}
    for source in all_sources(Settings()):
        for asset in ASSETS:
            stage = tables.read_stage([source.name, asset])
            rows = [*stage.kept.to_pylist(), *stage.dropped.to_pylist()]
            timeless = [{name: row[name] for name in row if name not in TIMES} for row in rows]
            # Three threads end in any order; a ledger is a set of events.
            found[f"{source.name}/{asset}"] = sorted(timeless, key=repr) if asset == "ledger" else timeless
    return found


def audio_of(folder: Path) -> dict[str, str]:
    """Every stored audio file, by its path, with a hash of its bytes."""
    root = folder / "store" / "audio"
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.timeout(600)
def test_fifty_kills_change_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    corpus = synthesised_corpus(tmp_path / "corpus", clips=90, scenes=30)
    counting = Counting(create_app(corpus))
    with running(counting) as url:
        counting.runs.append(Counter())
        with crawl_of(tmp_path / "unbroken", url) as process:
            assert process.stdout is not None
            assert process.stdout.read() == "done\n"
        (unbroken,) = counting.runs

        moments = random.Random(SEED)
        counting.runs.clear()
        killed = 0
        while killed < KILLS:
            counting.runs.append(Counter())
            with crawl_of(tmp_path / "broken", url) as process:
                time.sleep(moments.uniform(0, LONGEST_S))
                process.kill()
                assert process.stdout is not None
                assert process.stdout.read() == "", f"all done after {killed} kills: the corpus is too small"
            killed += 1
        counting.runs.append(Counter())
        with crawl_of(tmp_path / "broken", url) as process:
            assert process.stdout is not None
            assert process.stdout.read() == "done\n"

    assert tables_of(tmp_path / "broken") == tables_of(tmp_path / "unbroken")
    assert audio_of(tmp_path / "broken") == audio_of(tmp_path / "unbroken")
    tables = TableStore(Store(tmp_path / "broken" / "store"))
    for source in all_sources(Settings()):
        for partition in source.partitions():
            assert check_reconciled(tables, source.name, partition).passed

    asked = sum(counting.runs, Counter())
    assert asked.keys() == unbroken.keys()
    for number, run in enumerate(counting.runs):
        # What a kill met in flight is asked for again, and nothing else.
        later = sum(counting.runs[number + 1 :], Counter())
        repeated = (run + later - unbroken) & run
        assert sum(repeated.values()) <= WORKERS
