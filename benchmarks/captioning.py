"""How much of what a limit allows is asked, and what a request costs besides the request itself.

A server in a process of its own answers after 200 ms. First it allows so many requests a second and
tells so in its headers, as OpenAI does; the engine has 100 requests under way at most. The limit: 95% of
what the server allows. Then it allows everything: requests a second of CPU time, from the first answer
to the last, beside a bare httpx loop that sends the same requests and does nothing else. The engine
writes each answer to the disk meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.result import report

HOST = "127.0.0.1"
LATENCY_S = 0.2
CONCURRENCY = 100
A_SECOND = 100
LIMITED_QUESTIONS = 2000
UNLIMITED_QUESTIONS = 1200


class TokenBucket:
    """As many requests as a second allows at once, filled evenly."""

    def __init__(self) -> None:
        self.level = float(A_SECOND)
        self.at = time.monotonic()
        self.answered: list[float] = []
        self.refused = 0

    def take(self) -> bool:
        now = time.monotonic()
        self.level = min(self.level + (now - self.at) * A_SECOND, A_SECOND)
        self.at = now
        if self.level < 1:
            self.refused += 1
            return False
        self.level -= 1
        self.answered.append(now)
        return True

    def headers(self) -> list[tuple[bytes, bytes]]:
        told = {
            "limit": f"{60 * A_SECOND}",
            "remaining": f"{int(59 * A_SECOND + self.level)}",
            "reset": f"{int((A_SECOND - self.level) / A_SECOND * 1000)}ms",
        }
        return [(f"x-ratelimit-{name}-requests".encode(), value.encode()) for name, value in told.items()]


def serve(listener: socket.socket) -> None:
    """Answers, under `/limited` within the limit, until the process is ended."""
    import uvicorn

    bucket = TokenBucket()
    message = {"role": "assistant", "content": "A dog is barking in the distance."}
    usage = {"prompt_tokens": 300, "completion_tokens": 9, "total_tokens": 309}
    completion = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    answer = json.dumps({"id": "1", "object": "chat.completion", "model": "m", **completion}).encode("ascii")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body", False):
            pass
        limited = scope["path"].startswith("/limited")
        status, body = 200, answer
        if scope["path"] == "/counts":
            body = json.dumps({"times": bucket.answered, "refused": bucket.refused}).encode("ascii")
        elif limited and not bucket.take():
            status, body = 429, b"{}"
        else:
            await asyncio.sleep(LATENCY_S)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers += bucket.headers() if limited else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=120
    )
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def server() -> Iterator[str]:
    listener = socket.create_server((HOST, 0))
    process = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    process.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        process.terminate()
        process.join()


def questions(count: int) -> list[str]:
    return [f"Dog number {number} barks in the distance" for number in range(count)]


def ask_all(url: str, count: int, folder: Path) -> tuple[float, float]:
    """Asks as stage 2 does, one text a request. Returns the seconds and the CPU time of the asking (s)."""
    from wavcaps_assets.captioning.chat import ChatModel
    from wavcaps_assets.captioning.ledger import Ledger
    from wavcaps_assets.captioning.prompts import Form, load_prompt
    from wavcaps_assets.captioning.rounds import Asked, Rounds
    from wavcaps_assets.captioning.settings import CaptioningSettings
    from wavcaps_assets.captioning.spending import Unlimited
    from wavcaps_assets.settings import ModelSettings
    from wavcaps_assets.storage import Store

    settings = CaptioningSettings(form=Form.SINGLE, concurrency=CONCURRENCY, max_attempts=1)
    model = ChatModel(ModelSettings(base_url=url, model="m"))
    marks: list[tuple[float, float]] = []

    def mark(done: int, total: int) -> None:
        if done in (1, total):
            marks.append((time.perf_counter(), time.process_time()))

    with Ledger(Store(folder), "log/answers") as ledger:
        prompt = load_prompt("paper", "freesound", Form.SINGLE)
        rounds = Rounds(prompt, "freesound", settings, model, ledger, Unlimited(), mark, None)
        asyncio.run(rounds.settle([Asked(question) for question in questions(count)]))
        assert len(ledger) == count
    (started, cpu_started), (ended, cpu_ended) = marks
    return ended - started, cpu_ended - cpu_started


async def ask_bare(url: str, count: int) -> float:
    """Sends the same requests and reads the answers' JSON. Returns the CPU time (s)."""
    import httpx

    from wavcaps_assets.captioning.prompts import Form, load_prompt

    prompt = load_prompt("paper", "freesound", Form.SINGLE)
    waiting = iter(questions(count))
    parameters = {"temperature": 0.0, "max_tokens": 60, "seed": 0, "stop": ["\n"]}
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    async with httpx.AsyncClient(limits=limits) as client:

        async def work() -> None:
            for question in waiting:
                body = {"model": "m", "messages": prompt.messages([question]), **parameters}
                answer = await client.post(f"{url}/chat/completions", json=body)
                assert answer.json()["choices"][0]["message"]["content"]

        started = time.process_time()
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        return time.process_time() - started


def main() -> None:
    import httpx

    from wavcaps_assets.postprocessing.reading import parser

    parser()
    with server() as url, tempfile.TemporaryDirectory() as folder:
        ask_all(f"{url}/limited", LIMITED_QUESTIONS, Path(folder) / "limited")
        counts = httpx.get(f"{url}/counts").json()
        times = counts["times"]
        share = (len(times) - 1) / (times[-1] - times[0]) / A_SECOND
        seconds, cpu = ask_all(url, UNLIMITED_QUESTIONS, Path(folder) / "unlimited")
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        bare = asyncio.run(ask_bare(url, UNLIMITED_QUESTIONS))
    ours, peer = UNLIMITED_QUESTIONS / cpu, UNLIMITED_QUESTIONS / bare
    print(  # noqa: T201
        f"{share:.1%} of the {A_SECOND} requests a second that the limit allows, {counts['refused']} refused"
    )
    print(  # noqa: T201
        f"without a limit: {UNLIMITED_QUESTIONS / seconds:.0f} requests a second, "
        f"{ours:.0f} a second of CPU time; the bare loop {peer:.0f}"
    )
    report("captioning_under_a_limit", share * A_SECOND, "requests/s", "the limit", A_SECOND, peak_mb)
    report("captioning", ours, "requests/s a core", "httpx alone", peer, peak_mb)
    if share < 0.95:
        sys.exit("less than 95% of what the limit allows")


if __name__ == "__main__":
    main()
