"""How fast a run sees what is left to ask: a ledger of 675,000 answers, one description a question.

A process of its own opens the ledger and looks up 675,000 questions, of which a tenth is not in it. The
peer does the same with `json.loads` of every line and a dictionary.

The limits: 20 s and 1.5 GB.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.result import own_peak_mb, report
from wavcaps_assets.captioning.ledger import Answer, Ledger, Question
from wavcaps_assets.segments import SegmentLog
from wavcaps_assets.storage import Store

ANSWERS = 675_000
NEW = 67_500
SEGMENTS = 8
FOLDER = "log/answers"
WORDS = "recorded with a handheld recorder near the river while birds sing and a dog barks far away, " * 5
PARAMETERS = {"temperature": 0.0, "max_tokens": 60, "seed": 0, "stop": ["\n"]}
Load = Callable[[Path], Callable[[Question], bool]]


def questions(first: int) -> Iterator[Question]:
    """Descriptions of 20 to 400 characters, as FreeSound's are."""
    for number in range(first, first + ANSWERS):
        text = f"{number} {WORDS[number % 40 : 60 + number * 7 % 381]}"
        yield Question("0a1b2c3d4e5f", "gpt-4o-mini", PARAMETERS, (text,), 0)


def write(folder: Path) -> None:
    """All answers, in as many segments as some runs would have made."""
    store = Store(folder)
    logs = [SegmentLog(store, FOLDER) for _ in range(SEGMENTS)]
    text = "A dog is barking far away while birds are singing near a river."
    answer = asdict(Answer(text, "stop", 640, 15, 0.412, False, 0.000105, "gpt-4o-mini-2024-07-18"))
    asked = questions(0)
    for log in itertools.cycle(logs):
        some = [
            {
                "key": question.key,
                "at": "2026-11-23T20:00:00+00:00",
                "question": asdict(question),
                "source": "freesound",
                "size": 2400,
                "answer": answer,
            }
            for question in itertools.islice(asked, 5_000)
        ]
        if not some:
            break
        log.append_many(some)
    for log in logs:
        log.close()


def ours(folder: Path) -> Callable[[Question], bool]:
    ledger = Ledger(Store(folder), FOLDER)
    return lambda question: ledger.get(question) is not None


def peer(folder: Path) -> Callable[[Question], bool]:
    records = {}
    for path in sorted((folder / FOLDER).glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                records[record["key"]] = record
    return lambda question: records.get(question.key) is not None


def plan(load: Load, folder: Path, result: multiprocessing.Queue[tuple[float, float, float, int]]) -> None:
    started = time.perf_counter()
    answered = load(folder)
    loaded = time.perf_counter() - started
    left = sum(not answered(question) for question in questions(NEW))
    seconds = time.perf_counter() - started
    result.put((loaded, seconds, own_peak_mb(), left))


def measure(load: Load, folder: Path) -> tuple[float, float]:
    """Seconds and MB in a process of its own."""
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=plan, args=(load, folder, result))
    process.start()
    loaded, seconds, peak_mb, left = result.get()
    process.join()
    assert left == NEW, left
    print(  # noqa: T201
        f"{load.__name__}: read in {loaded:.1f} s, {left} of {ANSWERS} questions left after {seconds:.1f} s, "
        f"{peak_mb:.0f} MB"
    )
    return seconds, peak_mb


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Not in this process: what it holds at its largest would count as its children's.
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(folder,))
        writer.start()
        writer.join()
        size = sum(path.stat().st_size for path in (folder / FOLDER).iterdir())
        print(f"{ANSWERS} answers, {size / 1e6:.0f} MB")  # noqa: T201
        seconds, peak_mb = measure(ours, folder)
        peer_seconds, _ = measure(peer, folder)
    report("ledger_plan", seconds, "s", "json.loads and a dictionary", peer_seconds, peak_mb)


if __name__ == "__main__":
    main()
