"""Runs of `BatchModel` in processes of their own, which can be killed at every step.

They fork from one process that has everything loaded, so that fifty of them take seconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.llm.batch_server import MODEL, BatchServer
from tests.support.paths import ROOT
from wavcaps_assets.llm.batch.lines import BatchRequest
from wavcaps_assets.llm.batch.model import BatchModel
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.prices import Prices
from wavcaps_assets.llm.records import Request
from wavcaps_assets.store.append_log import FileWriter
from wavcaps_assets.store.storage import Store

TEXTS = [f"dog number {number}" for number in range(6)]
LIMITS = BatchSettings(
    requests=3, poll_s=0.01, longest_poll_s=0.02, wait_in_place_s=20, creation_settles_s=0.5
)
# A killed run may leave reservations.
MONTH_USD = 10_000.0
PRICES = Prices.model_validate(
    {"source": "by hand", "read": "2026-11-23", "models": {MODEL: {"input": 1e6, "output": 2e6}}}
)
# The server counts 7 tokens in and 5 out.
PAID = 7 + 2 * 5


def requests(*more: str) -> list[BatchRequest]:
    return [
        BatchRequest(Request("v", MODEL, {"max_tokens": 10}, [text], 0, [{"role": "user", "content": text}]))
        for text in [*TEXTS, *more]
    ]


def run(server: BatchServer, folder: Path, *more: str) -> None:
    store = Store(folder)
    settings = server.settings().model_copy(update={"budget_month_usd": MONTH_USD})
    model = BatchModel(settings, store, limits=LIMITS, max_retries=0)
    with (
        ResponseLedger(store, "log/answers") as ledger,
        Budget(PRICES, MODEL, ledger, settings) as budget,
    ):
        model.answer_all(requests(*more), ledger, budget)


class Runs:
    """Starts runs, and waits for them."""

    def __enter__(self) -> Runs:
        command = [sys.executable, "-m", "tests.llm.batch_runs"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def start(self, server: BatchServer, folder: Path, kill_at: int = 0) -> int:
        """Starts a run; it kills itself where it would write its `kill_at`-th record. Gives its pid."""
        return self._ask("start", server.root, str(folder), kill_at)

    def wait(self, pid: int) -> int:
        """The run's exit code; a signal's is negative."""
        return self._ask("wait", pid)

    def _ask(self, *words: object) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


def _child(root: str, folder: str, kill_at: int) -> None:
    write, writes = FileWriter.write, 0

    def counted(writer: FileWriter, lines: bytes) -> None:
        nonlocal writes
        writes += 1
        if writes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        write(writer, lines)

    FileWriter.write = counted  # type: ignore[method-assign, assignment]
    run(BatchServer(root=root), Path(folder))


def main() -> None:
    import openai  # noqa: F401 - loaded once, for all children

    for line in sys.stdin:
        what, *words = json.loads(line)
        if what == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(words[0], 0)[1])
        elif (answer := os.fork()) == 0:
            code = 1
            try:
                _child(*words)
                code = 0
            finally:
                os._exit(code)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
