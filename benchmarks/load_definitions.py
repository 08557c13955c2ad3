"""How long the definitions of each code location take to load, compared with `import dagster` alone.

Every web server, daemon and run needs this time. Both locations are loaded, with the embedded sources and
with live ones, which have three times as many assets. A process is timed until its end. Beyond a ratio of 2.5
for any of them the exit status is 1.
The versions of the code and the byte code are kept from the first load, as in any instance.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product

from benchmarks.result import children_peak_mb, report

LOCATIONS = ("wavcaps_assets", "wavcaps_training")
SOURCES = ("embedded", "live")
PEER = "import dagster"
ROUNDS = 7
LIMIT = 2.5


def program(location: str) -> str:
    return f"import {location}.definitions as location; location.defs()"


def seconds(code: str, home: str, sources: str) -> float:
    """How long a fresh interpreter takes for a program (s).

    Args:
        home: the folder of the instance.
        sources: as in `WAVCAPS_SOURCES`.
    """
    # Dagster was compiled when it was installed; ours is compared as an installed package too.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"DAGSTER_HOME": home, "WAVCAPS_SOURCES": sources}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - started


def main() -> None:
    cases = list(product(LOCATIONS, SOURCES))
    with tempfile.TemporaryDirectory() as home:
        for location, sources in cases:
            seconds(program(location), home, sources)
        seconds(PEER, home, SOURCES[0])
        # In turns, so that all meet the same load on a busy machine.
        rounds = [
            (
                seconds(PEER, home, SOURCES[0]),
                *(seconds(program(location), home, sources) for location, sources in cases),
            )
            for _ in range(ROUNDS)
        ]
    peer, *ours = (statistics.median(times) for times in zip(*rounds, strict=True))
    for (location, sources), taken in zip(cases, ours, strict=True):
        print(f"{location}, {sources} sources: {taken:.2f} s, {taken / peer:.2f} x `{PEER}`")  # noqa: T201
    slowest = max(ours)
    report("load_definitions", slowest, "s", PEER, peer, children_peak_mb())
    if slowest > LIMIT * peer:
        sys.exit(f"the definitions take {slowest / peer:.2f} times as long as `{PEER}`; at most {LIMIT}")


if __name__ == "__main__":
    main()
