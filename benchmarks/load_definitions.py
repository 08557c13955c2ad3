"""How long `wavcaps_assets`' definitions take to load, compared with `import dagster` alone.

Every web server, daemon and run needs this time. Beyond a ratio of 2.5 the exit status is 1. The versions
of the code are kept from the first load, as in any instance.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.result import children_peak_mb, report

OURS = "import wavcaps_assets.definitions as location; location.defs()"
PEER = "import dagster"
ROUNDS = 7
LIMIT = 2.5


def seconds(program: str, home: str) -> float:
    """How long a fresh interpreter takes for a program (s).

    Args:
        home: the folder of the instance.
    """
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "DAGSTER_HOME": home})
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        for program in (OURS, PEER):
            seconds(program, home)
        # In turns, so that both meet the same load on a busy machine.
        pairs = [(seconds(OURS, home), seconds(PEER, home)) for _ in range(ROUNDS)]
    ours, peer = (statistics.median(times) for times in zip(*pairs, strict=True))
    report("load_definitions", ours, "s", "import dagster", peer, children_peak_mb())
    if ours > LIMIT * peer:
        sys.exit(f"the definitions take {ours / peer:.2f} times as long as `import dagster`; at most {LIMIT}")


if __name__ == "__main__":
    main()
