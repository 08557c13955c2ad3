"""Runs that are started together ask each question once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.captioning.test_engine import LISTED, SINGLE, captions, clips, items, run
from tests.llm.scripted_model import Access, asked, scripted
from tests.support.paths import ROOT
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.folder_leases import FILE, LONGEST_S, FolderLeases
from wavcaps_assets.llm.leases import open_leases
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.store.storage import Store

ANIMALS = ("dog", "cat", "cow", "pig", "hen", "owl", "bee", "frog")
TEXTS = [f"{animal} {number}" for number in range(12) for animal in ANIMALS]
QUESTION = Request("v", "m", {"seed": 1}, ["dog"], 0)
SLOW_S = 0.02


def caption(folder: Path, model: Access, settings: CaptioningSettings) -> dict[str, str]:
    return captions(run(clips(*TEXTS), settings, model, folder))


def own(body: dict[str, Any]) -> str:
    threading.Event().wait(SLOW_S)
    texts = items(body)
    said = [f"A {text.split()[0]} is calling." for text in texts]
    # Lists that hold a cow are miscounted, and divided.
    first = 5 if len(said) > 1 and any("cow" in text for text in texts) else 1
    return "\n".join(f"{index}. {one}" for index, one in enumerate(said, first))


def alone(body: dict[str, Any]) -> str:
    threading.Event().wait(SLOW_S)
    return f"A {asked(body).split()[0]} is calling."


@pytest.mark.slow
def test_runs_that_are_started_together_ask_each_question_once(tmp_path: Path) -> None:
    pairs = LISTED.model_copy(update={"batch_size": 2, "concurrency": 4})
    for settings, script in ((SINGLE.model_copy(update={"concurrency": 4}), alone), (pairs, own)):
        folder = tmp_path / settings.form
        with scripted(script, in_threads=True) as endpoint, ThreadPoolExecutor(3) as runs:
            models = [endpoint.model() for _ in range(3)]
            made = [runs.submit(caption, folder, model, settings) for model in models]
            found = [one.result(60) for one in made]
            once = Counter(asked(body) for body in endpoint.requests)
        assert set(once.values()) == {1}
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == len(TEXTS)
        # Nothing is left of their leases but the file.
        assert [path.name for path in (folder / ANSWERS).glob(".*.lock")] == []


def test_a_lease_holds_while_its_run_lives_and_asks(tmp_path: Path) -> None:
    ledger = ResponseLedger(Store(tmp_path), ANSWERS)
    other = Request("v", "m", {"seed": 1}, ["cat"], 0)
    with FolderLeases(ledger) as later:
        assert not later.others_changed()
        with FolderLeases(ledger) as first:
            assert first.take(QUESTION.key)
            assert not later.take(QUESTION.key)
            assert later.take(other.key)
            assert later.others_changed()
            assert not later.others_changed()
            first.release(QUESTION.key)
            # It goes with the next lease.
            assert not first.take(other.key)
            assert later.others_changed()
            assert later.take(QUESTION.key)
            assert not first.take(QUESTION.key)
        assert not FolderLeases(ledger).take(QUESTION.key)
    assert FolderLeases(ledger).take(QUESTION.key)


@pytest.mark.slow
def test_a_killed_run_leases_nothing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from tests.llm.test_leases import ANSWERS, QUESTION, FolderLeases, ResponseLedger, Store\n"
        "leases = FolderLeases(ResponseLedger(Store(sys.argv[1]), ANSWERS))\n"
        "assert leases.take(QUESTION.key)\n"
        "print('leased', flush=True)\n"
        "sys.stdin.readline()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    ledger = ResponseLedger(Store(tmp_path), ANSWERS)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "leased\n"
        with FolderLeases(ledger) as leases:
            assert not leases.take(QUESTION.key)
            process.communicate("\n")
            assert process.returncode == -signal.SIGKILL
            assert leases.take(QUESTION.key)
    assert list((tmp_path / ANSWERS).glob(".*.lock")) == []


def test_a_lease_expires_after_a_time(tmp_path: Path) -> None:
    import sqlite3

    ledger = ResponseLedger(Store(tmp_path), ANSWERS)
    with FolderLeases(ledger) as stuck, FolderLeases(ledger) as later:
        assert stuck.take(QUESTION.key)
        assert not later.take(QUESTION.key)
        with sqlite3.connect(tmp_path / ANSWERS / FILE) as file:
            file.execute("update claims set at = at - ?", (LONGEST_S,))
        file.close()
        assert later.take(QUESTION.key)


def test_what_another_run_has_answered_meanwhile_is_not_asked(tmp_path: Path) -> None:
    """It begins and ends after this one has read the ledger."""
    with scripted(alone, in_threads=True) as endpoint:
        with endpoint.model().session(tmp_path, SINGLE.limits) as early:
            assert len(early.ledger) == 0
            whole = caption(tmp_path, endpoint.model(), SINGLE)
            stage = caption_clips(clips(*TEXTS), "freesound", SINGLE, early).stage
        assert len(endpoint.requests) == len(TEXTS)
    assert captions(stage) == whole


def test_leases_know_what_others_have_answered(store: Store) -> None:
    """In a folder, and in a bucket."""

    async def both() -> None:
        with ResponseLedger(store, ANSWERS) as mine, ResponseLedger(store, ANSWERS) as theirs:
            async with open_leases(mine) as one, open_leases(theirs) as other:
                assert await one.acquire(QUESTION.key)
                assert not await one.acquire(QUESTION.key)
                assert not await other.acquire(QUESTION.key)
                mine.record(QUESTION, Answer("A dog.", "stop"))
                one.release(QUESTION.key)
            async with open_leases(theirs) as other:
                assert await other.acquire(QUESTION.key)
                assert theirs.get(QUESTION) == Answer("A dog.", "stop")

    asyncio.run(both())
