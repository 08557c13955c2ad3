"""How much of a rate limit is used, and what a request costs apart from the request itself.

A server in a separate process answers after a fixed time. First it allows a fixed number of requests a second
and says so in its headers, as OpenAI does; the engine has at most 100 requests in flight. Two shares of what
the server allows are reported: of the whole time from the first request to the last, in which the engine
begins with a single request, and of the time after the first three seconds. The limit: 95% of 200 requests a
second after these, with answers that take 200 ms and with answers that take 500 ms. More is not possible with
100 requests in flight.

Then the server allows everything and answers at once. The result is requests per second of CPU time, compared
with bare loops of aiohttp and httpx that send the same requests and parse the answers' JSON. Each has the
number of connections that suits it best. The engine also writes each answer to the disk.

Last, it is asked about lists of 20 texts, and the CPU time of the test whether captions are under their own
texts (`captioning/alignment.py`) is compared with that of a whole request. The limit: 5%.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.result import own_peak_mb, report
from benchmarks.serving import server
from benchmarks.stage3_rules import captions
from wavcaps_assets.captioning.alignment import align

CONCURRENCY = 100
LIMITED_S = 20
RAMP_S = 3.0
LEAST_SHARE = 0.95
# Requests a second, milliseconds to the answer, and whether `LEAST_SHARE` is demanded.
LIMITED = (
    (100, 200, False),
    (200, 200, True),
    (200, 500, True),
    (300, 200, False),
    (400, 200, False),
)
UNLIMITED_QUESTIONS = 1500
CONNECTIONS = (10, 30, CONCURRENCY)
LISTS, LIST_SIZE = 500, 20
MOST_ALIGNMENT = 0.05
TURNS = 3
LISTED = re.compile(r'^(\d+)\. "Take \d+: (.*), recorded with', re.MULTILINE)
PARAMETERS = {"temperature": 0.0, "max_tokens": 60, "seed": 0, "stop": ["\n"]}


@dataclass
class TokenBucket:
    """As many requests as a second allows at once, filled evenly.

    Attributes:
        times: when each request that was answered came (s).
        in_flight: how many there were then.
    """

    a_second: int
    level: float = field(init=False)
    at: float = field(default_factory=time.monotonic)
    times: list[float] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    refused: int = 0
    now: int = 0

    def __post_init__(self) -> None:
        self.level = float(self.a_second)

    def take(self) -> bool:
        at = time.monotonic()
        self.level = min(self.level + (at - self.at) * self.a_second, self.a_second)
        self.at = at
        if self.level < 1:
            self.refused += 1
            return False
        self.level -= 1
        self.now += 1
        self.times.append(at)
        self.in_flight.append(self.now)
        return True

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = {
            "limit": f"{60 * self.a_second}",
            "remaining": f"{int(59 * self.a_second + self.level)}",
            "reset": f"{int((self.a_second - self.level) / self.a_second * 1000)}ms",
        }
        return [(f"x-ratelimit-{name}-requests".encode(), value.encode()) for name, value in headers.items()]


def serve(listener: socket.socket) -> None:
    """Answers, under `/REQUESTS A SECOND/MILLISECONDS` within that limit, until the process is ended."""
    import uvicorn

    buckets: defaultdict[str, TokenBucket] = defaultdict(lambda: TokenBucket(0))
    message = {"role": "assistant", "content": "A dog is barking in the distance."}
    usage = {"prompt_tokens": 300, "completion_tokens": 9, "total_tokens": 309}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    completion = {"choices": [choice], "usage": usage}
    answer = json.dumps({"id": "1", "object": "chat.completion", "model": "m", **completion}).encode("ascii")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received = [await receive()]
        while received[-1].get("more_body", False):
            received.append(await receive())
        status, body, headers = 200, answer, []
        a_second, _, rest = scope["path"][1:].partition("/")
        if a_second == "lists":
            asked_for = json.loads(b"".join(part["body"] for part in received))["messages"][-1]["content"]
            lines = [f"{index}. {said.capitalize()}." for index, said in LISTED.findall(asked_for)]
            whole = choice | {"message": message | {"content": "\n".join(lines)}}
            body = json.dumps({"id": "1", "model": "m", **completion, "choices": [whole]}).encode("ascii")
        elif a_second.isdecimal():
            milliseconds, _, asked = rest.partition("/")
            bucket = buckets.setdefault(f"{a_second}/{milliseconds}", TokenBucket(int(a_second)))
            if asked == "counts":
                counts = {"times": bucket.times, "in_flight": bucket.in_flight, "refused": bucket.refused}
                body = json.dumps(counts).encode("ascii")
            elif bucket.take():
                headers = bucket.headers()
                await asyncio.sleep(int(milliseconds) / 1000)
                bucket.now -= 1
            else:
                status, body, headers = 429, b"{}", bucket.headers()
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=120
    )
    uvicorn.Server(config).run(sockets=[listener])


def questions(count: int) -> list[str]:
    return [f"Dog number {number} barks in the distance" for number in range(count)]


def send_all(
    url: str, texts: Sequence[str], concurrency: int = CONCURRENCY, list_size: int = 1
) -> tuple[float, float]:
    """Sends requests as stage 2 does. Returns the seconds and the CPU seconds of it.

    Args:
        list_size: the texts of a request.
    """
    from wavcaps_assets.captioning.prompts import Form, load_prompt
    from wavcaps_assets.captioning.rounds import Rounds, TextState
    from wavcaps_assets.captioning.settings import CaptioningSettings
    from wavcaps_assets.llm.session import Session
    from wavcaps_assets.llm.settings import ModelSettings
    from wavcaps_assets.show.progress import NoProgress
    from wavcaps_assets.store.storage import Store

    form = Form.SINGLE if list_size == 1 else Form.NUMBERED_LIST
    settings = CaptioningSettings(form=form, batch_size=list_size, concurrency=concurrency, max_attempts=1)
    marks: list[tuple[float, float]] = []

    class Marks(NoProgress):
        def update(self, done: int, total: int, note: str = "") -> None:
            if done in (list_size, total):
                marks.append((time.perf_counter(), time.process_time()))

    llm = ModelSettings(base_url=url, model="m")
    with (
        tempfile.TemporaryDirectory() as folder,
        Session(llm, Store(folder), limits=settings.limits, progress=Marks()) as session,
    ):
        prompt = load_prompt("paper", "freesound", form)
        Rounds(prompt, settings, session).settle([TextState(text) for text in texts])
        assert len(session.ledger) == len(texts) / list_size
    (started, cpu_started), (ended, cpu_ended) = marks
    return ended - started, cpu_ended - cpu_started


async def in_turn(ask: Callable[[dict[str, Any]], Awaitable[Any]], connections: int) -> tuple[float, float]:
    """Asks the same questions by `ask`. Returns the seconds and the CPU time (s)."""
    from wavcaps_assets.captioning.prompts import Form, load_prompt

    prompt = load_prompt("paper", "freesound", Form.SINGLE)
    waiting: Iterator[str] = iter(questions(UNLIMITED_QUESTIONS))

    async def work() -> None:
        for question in waiting:
            completion = await ask({"model": "m", "messages": prompt.messages([question]), **PARAMETERS})
            assert completion["choices"][0]["message"]["content"]

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(connections)))
    return time.perf_counter() - started, time.process_time() - cpu


async def by_httpx(url: str, connections: int) -> tuple[float, float]:
    import httpx

    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(limits=limits) as client:

        async def ask(body: dict[str, Any]) -> Any:
            return (await client.post(f"{url}/chat/completions", json=body)).json()

        return await in_turn(ask, connections)


async def by_aiohttp(url: str, connections: int) -> tuple[float, float]:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def ask(body: dict[str, Any]) -> Any:
            async with session.post(f"{url}/chat/completions", json=body) as response:
                return await response.json()

        return await in_turn(ask, connections)


def limited(url: str, a_second: int, milliseconds: int) -> float:
    """Asks for some time within a limit. Returns the share of it that was asked after the ramp."""
    import httpx

    place = f"{url}/{a_second}/{milliseconds}"
    send_all(place, questions(a_second * LIMITED_S))
    counts = httpx.get(f"{place}/counts").json()
    times = counts["times"]
    steady = [at for at in times if at >= times[0] + RAMP_S]
    whole = (len(times) - 1) / (times[-1] - times[0]) / a_second
    share = (len(steady) - 1) / (steady[-1] - steady[0]) / a_second
    most = ""
    if CONCURRENCY * 1000 / milliseconds <= a_second:
        seconds, _ = asyncio.run(by_aiohttp(f"{url}/{10 * a_second}/{milliseconds}", CONCURRENCY))
        most = f"; {CONCURRENCY} connections of aiohttp alone: {UNLIMITED_QUESTIONS / seconds / a_second:.1%}"
    in_flight = counts["in_flight"][-len(steady) :]
    print(  # noqa: T201
        f"{a_second} requests a second allowed, answers after {milliseconds} ms: {share:.1%} of them after "
        f"the ramp ({whole:.1%} of the whole), {statistics.mean(in_flight):.0f} in flight "
        f"({max(in_flight)} at most), {counts['refused']} refused{most}"
    )
    return share


def unlimited(url: str) -> tuple[float, str, float]:
    """Returns requests a second of CPU time: ours; the best peer's name, and its own."""
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for connections in CONNECTIONS:
        found["ours"].append(send_all(url, questions(UNLIMITED_QUESTIONS), connections))
        for peer, ask in (("aiohttp alone", by_aiohttp), ("httpx alone", by_httpx)):
            found[peer].append(asyncio.run(ask(url, connections)))
    best = {}
    for name, taken in found.items():
        (cpu, connections), seconds = (
            min((cpu, count) for (_, cpu), count in zip(taken, CONNECTIONS, strict=True)),
            min(seconds for seconds, _ in taken),
        )
        best[name] = UNLIMITED_QUESTIONS / cpu
        print(  # noqa: T201
            f"without a limit, {name}: {UNLIMITED_QUESTIONS / seconds:.0f} requests a second, "
            f"{best[name]:.0f} a second of CPU time with {connections} connections"
        )
    ours = best.pop("ours")
    peer = max(best, key=lambda name: best[name])
    return ours, peer, best[peer]


def alignment_share(url: str) -> float:
    """The CPU time of the alignment test as a share of that of a list's request; each is the best of some."""
    made = captions(LISTS * LIST_SIZE)
    texts = [candidate.text for candidate in made]
    lists = [
        (texts[first : first + LIST_SIZE], [one.caption for one in made[first : first + LIST_SIZE]])
        for first in range(0, len(texts), LIST_SIZE)
    ]
    requests, tests = [], []
    for _ in range(TURNS):
        requests.append(min(send_all(f"{url}/lists", texts, count, LIST_SIZE)[1] for count in CONNECTIONS))
        started = time.process_time()
        assert not any(align(*one).problem for one in lists)
        tests.append(time.process_time() - started)
    # The first request is not in the time of the requests.
    share = min(tests) / LISTS / (min(requests) / (LISTS - 1))
    print(  # noqa: T201
        f"lists of {LIST_SIZE}: {1e3 * min(requests) / (LISTS - 1):.2f} ms of CPU time a request, of which "
        f"the alignment test is {1e6 * min(tests) / LISTS:.0f} µs"
    )
    return share


def main() -> None:
    from wavcaps_assets.rules.reading import parser

    parser()
    missed = []
    with server(serve) as url:
        send_all(url, questions(CONCURRENCY))
        ours, peer, peers = unlimited(url)
        peak_mb = own_peak_mb()
        for a_second, milliseconds, demanded in LIMITED:
            share = limited(url, a_second, milliseconds)
            name = f"captioning_under_{a_second}_a_second_after_{milliseconds}_ms"
            report(name, share * a_second, "requests/s", "the limit", a_second, peak_mb)
            if demanded and share < LEAST_SHARE:
                missed.append(f"{share:.1%} of {a_second} a second with answers after {milliseconds} ms")
        share = alignment_share(url)
    report(
        "captioning_alignment", 100 * share, "% of the CPU time", "the limit", 100 * MOST_ALIGNMENT, peak_mb
    )
    report("captioning", ours, "requests/s a core", peer, peers, peak_mb)
    if share > MOST_ALIGNMENT:
        sys.exit(f"the alignment test takes {share:.1%} of the CPU time of a list, not {MOST_ALIGNMENT:.0%}")
    if missed:
        sys.exit(f"less than {LEAST_SHARE:.0%} of what the limit allows: {', '.join(missed)}")


if __name__ == "__main__":
    main()
