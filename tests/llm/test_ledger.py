from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.records import Answer, Request, answer_in
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import Store

ANSWER = Answer("A dog is barking.", "stop", 7, 5, 0.25)


def question(text: str = "dog", **changes: Any) -> Request:
    given = {"prompt_version": "v", "model": "m", "parameters": {"seed": 1}, "inputs": [text], "attempt": 0}
    return Request(**{**given, **changes})


def ledger_in(store: Store) -> ResponseLedger:
    return ResponseLedger(store, "log/answers")


def test_an_answer_outlives_its_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from tests.llm.test_ledger import ANSWER, ledger_in, question\n"
        "from wavcaps_assets.store.storage import Store\n"
        "ledger_in(Store(sys.argv[1])).record(question(), ANSWER)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=False)
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


def test_keys_are_those_of_earlier_versions() -> None:
    """What was paid for before must still be found: the key is the hash of the question's JSON."""
    asked = question("Ärger", parameters={"stop": ["\n"], "max_tokens": 60, "a": {"c": 1, "b": None}})
    assert asked.key == hashlib.sha256(json.dumps(asked.identity(), sort_keys=True).encode()).hexdigest()


def test_lines_of_older_and_newer_versions_are_read(store: Store) -> None:
    old, newer = question("old"), question("newer")
    said = {"text": "A dog.", "finish_reason": "stop", "prompt_tokens": 7, "completion_tokens": 5}
    with AppendLog(store, "log/answers") as log:
        log.append(
            {"key": old.key, "at": "2025-01-01", "question": old.identity(), "answer": {**said, "seconds": 1}}
        )
        log.append(
            {
                "key": newer.key,
                "at": "2030-01-01",
                "question": newer.identity(),
                "answer": {**said, "mood": 3},
            }
        )
        log.append(
            {"at": "2030-01-01", "question": question("third").identity(), "key": question("third").key}
        )
    ledger = ledger_in(store)
    assert ledger.get(old) == Answer("A dog.", "stop", 7, 5, 1)
    assert ledger.get(newer) == Answer("A dog.", "stop", 7, 5)
    assert ledger.get(question("third")) is None
    assert len(list(ledger.records())) == 2


@pytest.mark.parametrize(
    "garbage", [b"{}\n", b"[1]\n", b'{"key":"12\n', b'{"key":5}\n', b"\xff\xfe\n", b"\n"]
)
def test_garbage_costs_only_itself(tmp_path: Path, garbage: bytes) -> None:
    store = Store(tmp_path)
    with ledger_in(store) as ledger:
        ledger.record(question("dog"), ANSWER)
    (segment,) = store.path("log/answers").glob("*.jsonl")
    whole = segment.read_bytes()
    spaced = json.dumps({**json.loads(whole), "key": question("cat").key}).encode() + b"\n"
    segment.write_bytes(garbage + whole + garbage + spaced)
    ledger = ledger_in(store)
    assert len(ledger) == 2
    assert ledger.get(question("dog")) == ledger.get(question("cat")) == ANSWER


def test_texts_that_look_like_the_ledger_change_nothing(store: Store) -> None:
    hostile = '","answer":{"text":"Failure."}}\n{"key":"' + "0" * 64 + '","answer":{"text":"\u2028'
    answer = Answer(hostile, "stop", 1, 2, 3.0, True, 0.5, "m-1", True)
    asked = question(hostile, parameters={"answer": {"answer": {"text": "no"}}})
    with ledger_in(store) as ledger:
        ledger.record(asked, answer, source=hostile, size=9)
        assert ledger.get(asked) == answer
    again = ledger_in(store)
    assert len(again) == 1
    assert again.get(asked) == answer
    record = again.find(asked.key)
    assert record is not None
    assert (record["source"], record["size"], record["question"]["inputs"]) == (hostile, 9, [hostile])
    assert again.find("no key") is None and again.find("00") is None


@pytest.mark.slow
def test_another_processs_answers_are_seen_after_a_refresh(tmp_path: Path) -> None:
    ledger = ledger_in(Store(tmp_path))
    script = (
        "import sys\n"
        "from tests.llm.test_ledger import ANSWER, ledger_in, question\n"
        "from wavcaps_assets.store.storage import Store\n"
        "with ledger_in(Store(sys.argv[1])) as ledger:\n"
        "    for index in range(50): ledger.record(question(sys.argv[2] + str(index)), ANSWER)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name], cwd=ROOT) for name in "ab"
    ]
    with ledger:
        for index in range(50):
            ledger.record(question(f"c{index}"), ANSWER)
            ledger.refresh()
        assert [writer.wait() for writer in writers] == [0, 0]
        ledger.refresh()
        ledger.refresh()
        assert len(ledger) == 150
        assert all(ledger.get(question(f"{name}{index}")) == ANSWER for name in "abc" for index in range(50))
    assert len(list(ledger_in(Store(tmp_path)).records())) == 150


def test_a_question_that_was_paid_for_twice_has_two_records(store: Store) -> None:
    with ledger_in(store) as one, ledger_in(store) as other:
        one.record(question(), ANSWER)
        other.record(question(), Answer("Another.", "stop", 7, 5, 0.5))
    ledger = ledger_in(store)
    assert len(ledger) == 1
    assert {answer.text for record in ledger.records() if (answer := answer_in(record))} == {
        ANSWER.text,
        "Another.",
    }
