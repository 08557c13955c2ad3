"""Answers that are stored in groups: none is lost, whatever fails or is stopped."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.captioning.test_engine import SINGLE, clips, run
from tests.llm.scripted_model import MODEL, Endpoint, asked, scripted
from tests.llm.test_ledger import ANSWER, ledger_in, question
from tests.support.paths import ROOT
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.llm import session as llm_session
from wavcaps_assets.llm.budget import Budget, Reservation
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.recorder import Recorder
from wavcaps_assets.llm.records import Answer, record_of
from wavcaps_assets.store.storage import Store, StoreError

pytestmark = pytest.mark.alone

TEXTS = [f"{animal} {verb}" for animal in ("dog", "cat", "cow") for verb in ("calls", "sings", "runs")]


class SlowLedger(ResponseLedger):
    """Takes its time, as a disk under load does; notes how many records each write had."""

    seconds = 0.1

    def __init__(self, store: Store, folder: str = "log/answers") -> None:
        super().__init__(store, folder)
        self.sizes: list[int] = []
        self.begun = threading.Event()

    def record_many(self, records: Sequence[Mapping[str, Any]]) -> None:
        self.sizes.append(len(records))
        self.begun.set()
        time.sleep(self.seconds)
        super().record_many(records)


def record(text: str, answer: Answer = ANSWER) -> dict[str, Any]:
    return record_of(question(text), answer, "freesound", 9)


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file of this process can grow beyond this many bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_comes_during_a_write_shares_the_next(store: Store) -> None:
    async def write(ledger: SlowLedger) -> None:
        async with Recorder(ledger) as recorder:
            first = asyncio.create_task(recorder.write(record("0")))
            while not ledger.begun.is_set():
                await asyncio.sleep(0.001)
            await asyncio.gather(first, *(recorder.write(record(str(index))) for index in range(1, 50)))
            # Once `write` returns, the record is in the store.
            assert len(ledger_in(store)) == 50

    with SlowLedger(store) as ledger:
        asyncio.run(write(ledger))
        assert ledger.sizes == [1, 49]
    again = ledger_in(store)
    assert all(again.get(question(str(index))) == ANSWER for index in range(50))


def test_a_full_disk_is_told_to_all_who_wait_and_spoils_nothing(tmp_path: Path) -> None:
    async def write(ledger: ResponseLedger, texts: Sequence[str]) -> list[Any]:
        async with Recorder(ledger) as recorder:
            writes = (recorder.write(record(text)) for text in texts)
            return await asyncio.gather(*writes, return_exceptions=True)

    store = Store(tmp_path)
    with ledger_in(store) as ledger:
        assert asyncio.run(write(ledger, ["before"])) == [None]
        (segment,) = store.path("log/answers").glob("*.jsonl")
        whole = segment.read_bytes()
        texts = [str(index) for index in range(10)]
        # Room for three of them and a half.
        with small_files(len(whole) + len(whole) * 7 // 2):
            errors = asyncio.run(write(ledger, texts))
        assert all(isinstance(error, StoreError) and "free some space" in str(error) for error in errors)
        assert len(errors) == 10 and len(ledger) == 1
        assert segment.read_bytes().startswith(whole)
        # The same ledger goes on once there is space.
        assert asyncio.run(write(ledger, texts)) == [None] * 10
    again = ledger_in(store)
    assert len(again) == 11
    assert all(again.get(question(text)) == ANSWER for text in ("before", *texts))


def test_a_full_disk_stops_a_run_that_goes_on_later(tmp_path: Path) -> None:
    texts = [f"{text} {number}" for text in TEXTS for number in range(10)]
    with scripted(lambda body: f"A {asked(body).split()[0]} is calling.") as endpoint:
        # Room for the file of leases and for some of the answers.
        with small_files(30_000), pytest.raises(StoreError, match="free some space"):
            run(clips(*texts), SINGLE, endpoint.model(), tmp_path)
        before = len(ledger_in(Store(tmp_path)))
        assert 0 < before < len(endpoint.requests) <= len(texts)
        endpoint.requests.clear()
        stage = run(clips(*texts), SINGLE, endpoint.model(), tmp_path)
        assert len(endpoint.requests) == len(texts) - before
    assert stage.kept.num_rows == len(texts)


def test_one_who_waits_no_more_costs_the_others_nothing(store: Store) -> None:
    async def write(ledger: SlowLedger) -> list[Any]:
        async with Recorder(ledger) as recorder:
            first = asyncio.create_task(recorder.write(record("first")))
            while not ledger.begun.is_set():
                await asyncio.sleep(0.001)
            others = [asyncio.create_task(recorder.write(record(text))) for text in ("a", "b", "c")]
            await asyncio.sleep(0)
            first.cancel()
            others[1].cancel()
            return await asyncio.gather(first, *others, return_exceptions=True)

    with SlowLedger(store) as ledger:
        first, *others = asyncio.run(write(ledger))
    assert isinstance(first, asyncio.CancelledError)
    assert [type(one) for one in others] == [type(None), asyncio.CancelledError, type(None)]
    # The answer came, and was paid for: it is written down whether or not anybody waits for it.
    assert all(question(text) in ledger_in(store) for text in ("first", "a", "b", "c"))


@pytest.mark.parametrize("how", ["error", "cancelled", "torn down"])
def test_what_came_is_written_before_the_loop_ends(how: str, store: Store) -> None:
    class Torn(KeyboardInterrupt):
        """As a signal raises in the middle of whatever runs."""

    def tear() -> None:
        raise Torn

    async def write(ledger: SlowLedger) -> None:
        tasks = []
        try:
            async with Recorder(ledger) as recorder:
                tasks.append(asyncio.create_task(recorder.write(record("0"))))
                while not ledger.begun.is_set():
                    await asyncio.sleep(0.001)
                tasks += [asyncio.create_task(recorder.write(record(str(index)))) for index in range(1, 9)]
                await asyncio.sleep(0)
                if how == "error":
                    raise Torn
                if how == "torn down":
                    asyncio.get_running_loop().call_soon(tear)
                else:
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                await asyncio.sleep(60)
        finally:
            for one in tasks:
                one.cancel()

    with SlowLedger(store) as ledger:
        with pytest.raises((Torn, asyncio.CancelledError)):
            asyncio.run(write(ledger))
        assert all(question(str(index)) in ledger_in(store) for index in range(9))


class Exhausted(Exception):
    pass


class SixRequests(Budget):
    """Admits six requests, whatever they cost."""

    admitted = 0

    async def admit(self, messages: Any, parameters: Any, batch: bool = False) -> Reservation:
        if self.admitted == 6:
            raise Exhausted
        self.admitted += 1
        return await super().admit(messages, parameters, batch)

    def release(self, reservation: Reservation) -> None:
        raise AssertionError("every request is answered")


def caption_slowly(endpoint: Endpoint, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_session, "ResponseLedger", SlowLedger)
    with endpoint.model().session(store, SINGLE.limits) as session:
        caption_clips(clips(*TEXTS), "freesound", SINGLE, session)


def test_a_spent_budget_waits_for_what_is_being_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm_session, "Budget", SixRequests)
    with scripted(lambda body: "A dog is barking.") as endpoint, pytest.raises(Exhausted):
        caption_slowly(endpoint, store, monkeypatch)
    assert len(endpoint.requests) == len(ledger_in(store)) == 6


def test_a_hopeless_endpoint_waits_for_what_is_being_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[str] = []

    def script(body: dict[str, Any]) -> str | int:
        if len(answered) == 5:
            return 404
        answered.append(asked(body))
        return "A dog is barking."

    with scripted(script) as endpoint, pytest.raises(EndpointError, match="404"):
        caption_slowly(endpoint, store, monkeypatch)
    assert len(ledger_in(store)) == len(answered) == 5


def test_an_interrupted_run_has_written_what_it_was_answered(tmp_path: Path) -> None:
    slow = threading.Event()
    had: list[str] = []

    def script(body: dict[str, Any]) -> str:
        if len(had) == 5:
            slow.wait(30)
        had.append(asked(body))
        return "A dog is barking."

    program = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        # A shell starts background commands with SIGINT ignored, and children inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tests.llm.scripted_model import Endpoint\n"
        "from tests.captioning.test_engine import SINGLE, clips\n"
        "from tests.llm.test_recorder import TEXTS, SlowLedger\n"
        "from wavcaps_assets.captioning.engine import caption_clips\n"
        "from wavcaps_assets.llm import session as llm_session\n"
        "from wavcaps_assets.show.progress import NoProgress\n"
        "class Printed(NoProgress):\n"
        "    def update(self, done, total, note=''): print(done, flush=True)\n"
        "settings = SINGLE.model_copy(update={'english_only': False})\n"
        "llm_session.ResponseLedger, SlowLedger.seconds = SlowLedger, 0.3\n"
        "model = Endpoint(sys.argv[2]).model()\n"
        "with model.session(Path(sys.argv[1]), settings.limits, progress=Printed()) as session:\n"
        "    caption_clips(clips(*TEXTS), 'freesound', settings, session)\n"
    )
    with scripted(script, in_threads=True) as endpoint:
        command = [sys.executable, "-c", program, str(tmp_path), endpoint.root]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            # One is written; the next four came at once and are being written.
            assert process.stdout.readline() == "1\n"
            while len(had) < 5:
                time.sleep(0.01)
            time.sleep(0.1)
            os.kill(process.pid, signal.SIGINT)
            # An answer that is under way may be waited for.
            assert process.wait(90) != 0
            assert "KeyboardInterrupt" in process.stderr.read()
        slow.set()
    records = list(ledger_in(Store(tmp_path)).records())
    assert {record["question"]["inputs"][0] for record in records} >= set(had[:5])
    assert {record["question"]["model"] for record in records} == {MODEL}


def test_an_interrupted_write_is_repeated(tmp_path: Path) -> None:
    class Interruption(BaseException):
        pass

    class Interrupted(ResponseLedger):
        interruptions = 1

        def record_many(self, records: Sequence[Mapping[str, Any]]) -> None:
            if self.interruptions:
                self.interruptions -= 1
                raise Interruption
            super().record_many(records)

    async def write(ledger: ResponseLedger) -> None:
        async with Recorder(ledger) as recorder:
            await asyncio.wait_for(recorder.write(record("dog calls")), 20)

    with Interrupted(Store(tmp_path), "log/answers") as ledger:
        with pytest.raises(Interruption):
            asyncio.run(write(ledger))
        assert ledger.get(question("dog calls")) == ANSWER
