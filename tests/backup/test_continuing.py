"""A backup is taken while a run is at work: what is restored repeats no request and no payment.

The server takes the backup itself, before it answers a request: so the run is in the middle of its work.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.captioning.test_engine import LISTED, clips
from tests.captioning.test_paying_once import PRICES, answer, texts
from tests.crawl.test_kills import TIMES, crawl_of
from tests.crawl.test_kills import Counting as Paced
from tests.llm.scripted_model import asked, scripted
from tests.support.crawl_everything import WORKERS, crawl_partition
from tests.support.s3 import S3Bucket
from tests.support.servers import running
from wavcaps_assets.backup.archive import Archive
from wavcaps_assets.backup.backup import back_up
from wavcaps_assets.backup.kinds import Kind
from wavcaps_assets.backup.restore import Target, restore
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.checks.ledgers import check_reconciled
from wavcaps_assets.clock import utc_now
from wavcaps_assets.demo.server import create_app
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.llm import spending_totals
from wavcaps_assets.llm.budget import open_totals
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.network.client import Network
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = pytest.mark.slow

CONCURRENCY = 2


class Counting:
    """Counts requests. Before it answers some of them, it does something else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: Counter[str] = Counter()
        self.before: dict[int, Callable[[], object]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        if scope["type"] == "http":
            more = scope["method"] == "POST"
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            self.requests[f"{scope['path']}?{scope['query_string'].decode()} {body.decode()}"] += 1
            if before := self.before.pop(self.requests.total(), None):
                await run_in_threadpool(before)

        async def replay() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay if body else receive, send)


def stores(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Store]:
    """Makes stores of one kind."""
    if kind == "folder":
        return lambda name: Store(tmp_path / name / "store")
    bucket: S3Bucket = request.getfixturevalue("bucket")
    return lambda name: Store(f"{bucket.root}/{name}", bucket.client)


def crawl_all(store: Store, state: Path) -> None:
    tables, settings = TableStore(store), Settings()
    with Network(state, settings.network) as network:
        for source in all_sources(settings):
            for partition in source.partitions():
                if not tables.exists([source.name, "ledger"], partition):
                    crawl_partition(source, partition, network, tables, settings)


def rows_of(store: Store) -> dict[str, list[dict[str, Any]]]:
    """The clips and the audio, without times."""
    tables, found = TableStore(store), {}
    for source in all_sources(Settings()):
        for asset in ("raw_clips", "audio"):
            rows = tables.read([source.name, asset]).to_pylist()
            found[f"{source.name}/{asset}"] = [
                {name: row[name] for name in row if name not in TIMES} for row in rows
            ]
    return found


@pytest.mark.parametrize(
    ("kind", "moments"),
    [
        # In a listing, and in downloads of audio.
        ("folder", (4, 31)),
        pytest.param("folder", range(1, 34), marks=pytest.mark.soak),
        pytest.param("bucket", range(1, 34, 6), marks=pytest.mark.soak),
    ],
)
def test_a_crawl(
    kind: str,
    moments: range | tuple[int, ...],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = stores(kind, tmp_path, request)
    (tmp_path / "home").mkdir()
    counting = Counting(create_app(synthesised_corpus(tmp_path / "corpus", clips=12, scenes=4)))
    past: dict[int, Counter[str]] = {}
    with running(counting) as url:
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        for moment in moments:

            def take(moment: int = moment) -> None:
                past[moment] = Counter(counting.requests)
                path = tmp_path / f"{moment}.tar.zst"
                back_up(path, store("first"), tmp_path / "first" / "state", tmp_path / "home", [Kind.AUDIO])

            counting.before[moment] = take
        crawl_all(store("first"), tmp_path / "first" / "state")
        whole, expected = Counter(counting.requests), rows_of(store("first"))
        assert past.keys() == set(moments), whole.total()
        for moment in moments:
            counting.requests.clear()
            name = f"from {moment}".replace(" ", "_")
            restored = store(name)
            target = Target(restored, tmp_path / name / "state", tmp_path / name / "home")
            restore(Archive(tmp_path / f"{moment}.tar.zst"), target)
            crawl_all(restored, tmp_path / name / "state")
            assert rows_of(restored) == expected
            for source in all_sources(Settings()):
                for partition in source.partitions():
                    assert check_reconciled(TableStore(restored), source.name, partition).passed
            # What was in flight is requested again, and nothing else.
            before = past[moment]
            repeated = (before + counting.requests - whole) & before
            assert repeated.total() <= WORKERS, (moment, repeated)
            assert counting.requests.total() <= whole.total() - before.total() + WORKERS


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_captions_that_are_paid_for(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = stores(kind, tmp_path, request)
    (tmp_path / "home").mkdir()
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES.replace("batched", "scripted"))
    animals = [f"animal{number}" for number in range(40)]
    settings = LISTED.model_copy(update={"batch_size": 4, "concurrency": CONCURRENCY})
    past: list[str] = []
    lock = threading.Lock()

    def reply(body: dict[str, Any]) -> str:
        with lock:
            first = not past and len(endpoint.requests) >= 6
            if first:
                past.extend(asked(body) for body in endpoint.requests)
        if first:
            back_up(tmp_path / "b.tar.zst", store("first"), tmp_path / "none", tmp_path / "home")
        return answer(body)

    def caption(where: Store) -> list[str]:
        access = endpoint.model()
        paying = access.settings.model_copy(update={"prices": prices, "budget_month_usd": 1e6, "free": None})
        model = type(access)(paying, access.max_retries, access.patience_s)
        with model.session(where, settings.limits) as session:
            stage = caption_clips(clips(*texts(*animals)), "freesound", settings, session).stage
        captions: list[str] = stage.kept["caption"].to_pylist()
        return captions

    def spent(where: Store) -> int:
        with ResponseLedger(where, ANSWERS) as ledger:
            totals = open_totals(ledger, "")
            amount = totals.get(spending_totals.month(f"{utc_now():%Y-%m}"))
            totals.close()
        return amount

    with scripted(reply, in_threads=True) as endpoint:
        expected = caption(store("first"))
        whole = len(endpoint.requests)
        endpoint.requests.clear()
        restored = store("restored")
        restore(Archive(tmp_path / "b.tar.zst"), Target(restored, tmp_path / "none", tmp_path / "new"))
        before = spent(restored)
        assert caption(restored) == expected
        again = [asked(body) for body in endpoint.requests]
        assert whole == 10 and 0 < len(again) <= whole - len(past) + CONCURRENCY
        assert len(set(again) & set(past)) <= CONCURRENCY
        # What was on its way counts as spent: the limit of the month is never exceeded.
        assert before > 0 and spent(restored) >= spent(store("first")) > 0


@pytest.mark.soak
def test_backups_of_a_process_that_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One backup after the other, while another process crawls at full speed."""
    (tmp_path / "home").mkdir()
    server = Paced(create_app(synthesised_corpus(tmp_path / "corpus", clips=60, scenes=20)))
    server.runs.append(Counter())
    past: list[Counter[str]] = []
    with running(server) as url:
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        first = tmp_path / "first"
        store = Store(first / "store")
        with crawl_of(first, url) as process:
            # There is no backup of an empty store.
            while next(iter(store.files()), None) is None:
                assert process.poll() is None
                time.sleep(0.01)
            while process.poll() is None:
                past.append(Counter(server.runs[0]))
                path = tmp_path / f"{len(past)}.tar.zst"
                back_up(path, store, first / "state", tmp_path / "home", [Kind.AUDIO])
            assert process.stdout is not None and process.stdout.read() == "done\n"
        whole, expected = Counter(server.runs[0]), rows_of(store)
        assert len(past) >= 5, len(past)
        for number, before in enumerate(past, 1):
            server.runs.append(Counter())
            folder = tmp_path / f"restored_{number}"
            target = Target(Store(folder / "store"), folder / "state", folder / "home")
            restore(Archive(tmp_path / f"{number}.tar.zst"), target)
            crawl_all(target.store, folder / "state")
            assert rows_of(target.store) == expected
            repeated = (before + server.runs[-1] - whole) & before
            assert repeated.total() <= WORKERS, (number, repeated)
