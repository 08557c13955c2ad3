"""Runs that are started together ask each question once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.captioning.test_engine import LISTED, SINGLE, captions, clips, items
from tests.llm.scripted_model import asked, scripted
from tests.support.paths import ROOT
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.chat import ChatModel
from wavcaps_assets.llm.leases import FILE, LONGEST_S, Leases
from wavcaps_assets.llm.ledger import ANSWERS, Answer, Request, ResponseLedger
from wavcaps_assets.store.storage import Store

ANIMALS = ("dog", "cat", "cow", "pig", "hen", "owl", "bee", "frog")
TEXTS = [f"{animal} {number}" for number in range(12) for animal in ANIMALS]
QUESTION = Request("v", "m", {"seed": 1}, ["dog"], 0)
SLOW_S = 0.02


def caption(folder: Path, model: ChatModel, settings: CaptioningSettings) -> dict[str, str]:
    with ResponseLedger(Store(folder), ANSWERS) as ledger:
        return captions(caption_clips(clips(*TEXTS), "freesound", settings, model, ledger))


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


def test_runs_that_are_started_together_ask_each_question_once(tmp_path: Path) -> None:
    pairs = LISTED.model_copy(update={"batch_size": 2, "concurrency": 4})
    for settings, script in ((SINGLE.model_copy(update={"concurrency": 4}), alone), (pairs, own)):
        folder = tmp_path / settings.form
        with scripted(script, in_threads=True) as endpoint, ThreadPoolExecutor(3) as runs:
            models = [endpoint.model() for _ in range(3)]
            made = [runs.submit(caption, folder, model, settings) for model in models]
            found = [run.result(60) for run in made]
            once = Counter(asked(body) for body in endpoint.requests)
        assert set(once.values()) == {1}
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == len(TEXTS)
        # Nothing is left of their claims but the file.
        assert [path.name for path in (folder / ANSWERS).glob(".*.lock")] == []


def test_a_claim_holds_while_its_run_lives_and_asks(tmp_path: Path) -> None:
    ledger = ResponseLedger(Store(tmp_path), ANSWERS)
    other = Request("v", "m", {"seed": 1}, ["cat"], 0)
    with Leases(ledger) as later:
        assert not later.others_changed()
        with Leases(ledger) as first:
            assert first.take(QUESTION.key)
            assert not later.take(QUESTION.key)
            assert later.take(other.key)
            assert later.others_changed()
            assert not later.others_changed()
            first.give_up(QUESTION.key)
            # It goes with the next claim.
            assert not first.take(other.key)
            assert later.others_changed()
            assert later.take(QUESTION.key)
            assert not first.take(QUESTION.key)
        assert not Leases(ledger).take(QUESTION.key)
    assert Leases(ledger).take(QUESTION.key)


def test_a_killed_run_claims_nothing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from tests.llm.test_leases import ANSWERS, QUESTION, Leases, ResponseLedger, Store\n"
        "claims = Leases(ResponseLedger(Store(sys.argv[1]), ANSWERS))\n"
        "assert claims.take(QUESTION.key)\n"
        "print('claimed', flush=True)\n"
        "sys.stdin.readline()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    ledger = ResponseLedger(Store(tmp_path), ANSWERS)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "claimed\n"
        with Leases(ledger) as claims:
            assert not claims.take(QUESTION.key)
            process.communicate("\n")
            assert process.returncode == -signal.SIGKILL
            assert claims.take(QUESTION.key)
    assert list((tmp_path / ANSWERS).glob(".*.lock")) == []


def test_a_claim_is_given_up_after_a_time(tmp_path: Path) -> None:
    import sqlite3

    ledger = ResponseLedger(Store(tmp_path), ANSWERS)
    with Leases(ledger) as stuck, Leases(ledger) as later:
        assert stuck.take(QUESTION.key)
        assert not later.take(QUESTION.key)
        with sqlite3.connect(tmp_path / ANSWERS / FILE) as file:
            file.execute("update claims set at = at - ?", (LONGEST_S,))
        file.close()
        assert later.take(QUESTION.key)


def test_what_another_run_has_answered_meanwhile_is_not_asked(tmp_path: Path) -> None:
    """It begins and ends after this one has read the ledger."""
    with scripted(alone, in_threads=True) as endpoint:
        with ResponseLedger(Store(tmp_path), ANSWERS) as early:
            whole = caption(tmp_path, endpoint.model(), SINGLE)
            stage = caption_clips(clips(*TEXTS), "freesound", SINGLE, endpoint.model(), early)
        assert len(endpoint.requests) == len(TEXTS)
    assert captions(stage) == whole


def test_a_bucket_holds_no_claims(store: Store) -> None:
    with ResponseLedger(store, ANSWERS) as ledger, Leases(ledger) as one, Leases(ledger) as other:
        ledger.record(QUESTION, Answer("A dog.", "stop"))
        assert one.take(QUESTION.key)
        assert other.take(QUESTION.key) is not store.is_folder
        assert not Leases(ledger).others_changed()
