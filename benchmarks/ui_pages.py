"""How long the web UI's pages wait for GraphQL, with 300 months of FreeSound and 10,000 past runs.

Chromium opens each page of a real web server, and the queries that the page sends are read from it. Each is
then sent again alone: its time is the page's share of the server, however busy the browser is. The graph and
the page of a partition may take 2 s at most, the page of runs 3 s, all queries of the page together; the runs
are opened first, when the server has just started. The peer is the same instance without past runs.

    python -m benchmarks.ui_pages            SQLite
    python -m benchmarks.ui_pages postgres   Debian's Postgres, if it is installed
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.past_runs import instance_with_runs
from benchmarks.result import children_peak_mb, report
from tests.support.paths import ROOT
from tests.support.postgres import serving_postgres
from tests.validation.browser import Browser, browsing

RUNS = 10_000
# The page, and how long its queries may take (s). The first one is opened by a server that has just started.
PAGES = {
    "runs": ("/runs", 3.0),
    "asset graph": ("/asset-groups", 2.0),
    "partitions": ("/assets/freesound/raw_clips?view=partitions", 2.0),
    "one partition": ("/assets/freesound/raw_clips?view=partitions&partition=2020-01", 2.0),
}
# A page is complete when it has sent nothing for this long (s).
QUIET_S = 4.0
PATIENCE_S = 90.0
SQLITE = "telemetry: {enabled: false}\nnux: {enabled: false}\n"
POSTGRES = (
    SQLITE
    + """
storage:
  postgres:
    postgres_db:
      {hostname: 127.0.0.1, port: PORT, username: postgres, password: secret, db_name: postgres}
"""
)


@dataclass(frozen=True)
class Query:
    """A GraphQL query of a page.

    Attributes:
        name: of the operation.
        body: what the page sent.
        seconds: how long the server took for it, sent alone.
    """

    name: str
    body: dict[str, Any]
    seconds: float


@contextmanager
def web_server(home: Path) -> Iterator[str]:
    """The address of a web server of both code locations, as `workspace.yaml` names them."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dagster_webserver", "-w", str(ROOT / "workspace.yaml"), "-p", str(port)]
    with (
        (home / "web.log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as server,
    ):
        try:
            end = time.monotonic() + PATIENCE_S
            while True:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/server_info", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    if time.monotonic() > end:
                        sys.exit((home / "web.log").read_text())
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def queries_of(browser: Browser, address: str) -> list[dict[str, Any]]:
    """The bodies of the GraphQL queries that a page sends until it is complete."""
    browser.events.clear()
    browser.call("Page.navigate", url=address)
    bodies: list[dict[str, Any]] = []
    quiet_since, end = time.monotonic(), time.monotonic() + PATIENCE_S
    while time.monotonic() < min(quiet_since + QUIET_S, end):
        browser.run("0")
        events, browser.events = browser.events, []
        for event in events:
            request = event["params"].get("request", {})
            if event["method"] == "Network.requestWillBeSent" and "/graphql" in request["url"]:
                bodies.append(json.loads(request.get("postData", "{}")))
                quiet_since = time.monotonic()
        time.sleep(0.1)
    return bodies


def timed(address: str, bodies: list[dict[str, Any]]) -> list[Query]:
    """The queries, each sent alone. A query that a page repeats counts once."""
    found = {}
    with httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as client:
        for body in bodies:
            key = json.dumps(body, sort_keys=True)
            if key in found or not body:
                continue
            started = time.perf_counter()
            answer = client.post("/graphql", json=body).json()
            taken = time.perf_counter() - started
            assert "errors" not in answer, answer["errors"]
            found[key] = Query(body.get("operationName") or "", body, taken)
    return list(found.values())


def pages(home: Path) -> dict[str, list[Query]]:
    """The queries of each page. Those of the frame, such as that of the code locations, count for each."""
    found = {}
    for name, (path, _) in PAGES.items():
        with (
            web_server(home) as address,
            tempfile.TemporaryDirectory() as profile,
            browsing(Path(profile), Path(profile)) as browser,
        ):
            bodies = queries_of(browser, f"{address}{path}")
        # A server that has just started again, which has answered nothing.
        with web_server(home) as address:
            found[name] = timed(address, bodies)
    return found


def filled(home: Path, instance_yaml: str, runs: int) -> dict[str, list[Query]]:
    """The queries of an instance with some past runs."""
    started = time.perf_counter()
    with instance_with_runs(home, instance_yaml, runs):
        print(f"{runs} runs written in {time.perf_counter() - started:.0f} s")  # noqa: T201
    return pages(home)


def measure(instance_yaml: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small = filled(Path(folder, "small"), instance_yaml, 40)
        large = filled(Path(folder, "large"), instance_yaml, RUNS)
    slow = []
    for name, (_, limit) in PAGES.items():
        total = sum(query.seconds for query in large[name])
        before = sum(query.seconds for query in small[name])
        slowest = sorted(large[name], key=lambda query: -query.seconds)[:4]
        named = ", ".join(f"{query.name} {query.seconds:.2f} s" for query in slowest)
        print(f"{name}: {total:.2f} s in {len(large[name])} queries ({before:.2f} s with 40 runs); {named}")  # noqa: T201
        if total > limit:
            slow.append(f"{name}: {total:.2f} s, at most {limit:g} s")
    worst = max(PAGES, key=lambda name: sum(query.seconds for query in large[name]) / PAGES[name][1])
    value, peer = (sum(query.seconds for query in queries[worst]) for queries in (large, small))
    report("ui_pages", value, "s", f"the page of {worst} with 40 runs", peer, children_peak_mb())
    if slow:
        sys.exit("; ".join(slow))


def main() -> None:
    if "postgres" in sys.argv[1:]:
        with serving_postgres() as port:
            measure(POSTGRES.replace("PORT", str(port)))
    else:
        measure(SQLITE)


if __name__ == "__main__":
    main()
