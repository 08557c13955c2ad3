from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wavcaps_assets.captioning.ledger import Answer, Ledger, Question
from wavcaps_assets.storage import Store

ANSWER = Answer("A dog is barking.", "stop", 7, 5, 0.25)


def question(text: str = "dog", **changes: Any) -> Question:
    given = {"prompt_version": "v", "model": "m", "parameters": {"seed": 1}, "inputs": [text], "attempt": 0}
    return Question(**{**given, **changes})


def ledger_in(store: Store) -> Ledger:
    return Ledger(store, "log/answers")


def test_an_answer_outlives_its_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from tests.captioning.test_ledger import ANSWER, ledger_in, question\n"
        "from wavcaps_assets.storage import Store\n"
        "ledger_in(Store(sys.argv[1])).record(question(), ANSWER)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[2], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert ledger_in(Store(tmp_path)).get(question()) == ANSWER


def test_an_unfinished_line_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    with ledger_in(store) as ledger:
        ledger.record(question("dog"), ANSWER)
        ledger.record(question("Ärger"), ANSWER)
    (segment,) = store.path("log/answers").glob("*.jsonl")
    written = segment.read_bytes()
    last = written.rindex(b"\n", 0, -1) + 1
    for end in range(last + 1, len(written) - 1):
        segment.write_bytes(written[:end])
        ledger = ledger_in(store)
        assert ledger.get(question("dog")) == ANSWER
        assert ledger.get(question("Ärger")) is None
    assert segment.name in caplog.text
    with ledger:
        ledger.record(question("Ärger"), ANSWER)
    assert len(ledger_in(store)) == 2


def test_two_ledgers_over_one_folder_lose_nothing(store: Store) -> None:
    with ledger_in(store) as one, ledger_in(store) as other:
        for index in range(20):
            (one if index % 2 else other).record(question(str(index)), ANSWER)
    again = ledger_in(store)
    assert len(again) == 20
    assert all(again.get(question(str(index))) == ANSWER for index in range(20))


def test_a_run_that_only_reads_writes_nothing(store: Store) -> None:
    with ledger_in(store) as ledger:
        assert ledger.get(question()) is None
    assert store.usage() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_version": "w"},
        {"model": "n"},
        {"parameters": {"seed": 2}},
        {"inputs": ["cat"]},
        {"inputs": ["dog", "dog"]},
        {"attempt": 1},
    ],
)
def test_whatever_decides_an_answer_is_in_its_key(change: dict[str, Any]) -> None:
    assert question(**change).key != question().key
