"""How much of a core the daemon and its code servers use when nothing happens, with every switch on.

The daemon and a code server for each location run as in a team's installation, with an empty store; every
schedule and sensor is switched on. After a minute to warm up, the CPU time of all processes is read for two
minutes, or for the seconds on the command line. At most 5 % of a core; the peer is a daemon without a code
location. Where a schedule would start its runs meanwhile, as at each half hour, it begins later.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from benchmarks.result import children_peak_mb, report
from tests.support.paths import ROOT
from tests.support.processes import end

WARM_UP_S, MEASURED_S, MOST_SHARE = 60, 120, 0.05
# Schedules have a tick at each half hour. Switching everything on takes less than a minute.
BETWEEN_TICKS_S, START_S = 1800, 60
WORKSPACE = ROOT / "deploy/workspace.yaml"
EMPTY = "load_from: []\n"


def wait_for_a_quiet_time(seconds: float) -> None:
    """Waits until no schedule has a tick within a time: at each half hour, runs would start."""
    left = BETWEEN_TICKS_S - time.time() % BETWEEN_TICKS_S
    if left < seconds:
        time.sleep(left + 1)


def cpu_seconds(home: Path) -> float:
    """The CPU time of all processes of an instance, and of those that they have waited for (s)."""
    ticks = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"DAGSTER_HOME={home}".encode() not in (process / "environ").read_bytes().split(b"\0"):
                continue
            # utime, stime, cutime, cstime: proc(5).
            ticks += sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def process(log: Path, *arguments: str) -> Iterator[None]:
    """A command of Dagster, until the context ends."""
    command = [sys.executable, "-W", "ignore", "-m", *arguments]
    with log.open("wb") as file:
        started = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
        try:
            yield
        finally:
            end(started)


@contextmanager
def code_servers(home: Path) -> Iterator[None]:
    """A code server for each location, at the addresses that `deploy/workspace.yaml` reads."""
    with ExitStack() as stack:
        for name in ("assets", "training"):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = str(probe.getsockname()[1])
            os.environ |= {f"{name.upper()}_HOST": "127.0.0.1", f"{name.upper()}_PORT": port}
            server = ("dagster", "code-server", "start", "-h", "127.0.0.1", "-p", port)
            stack.enter_context(process(home / f"{name}.log", *server, "-m", f"wavcaps_{name}.definitions"))
            check = [sys.executable, "-m", "dagster", "api", "grpc-health-check", "-p", port]
            for _ in range(60):
                if not subprocess.run(check, check=False, capture_output=True).returncode:
                    break
                time.sleep(1)
        yield


def switch_everything_on(workspace: Path) -> int:
    """How many schedules and sensors are on then."""
    count = 0
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as context,
    ):
        for location in context.create_request_context().code_locations:
            for repository in location.get_repositories().values():
                for sensor in repository.get_sensors():
                    instance.start_sensor(sensor)
                    count += 1
                for schedule in repository.get_schedules():
                    instance.start_schedule(schedule)
                    count += 1
    return count


def share(home: Path, workspace: Path, seconds: float) -> float:
    """The share of a core (1: all of it)."""
    with process(home / "daemon.log", "dagster._daemon", "run", "-w", str(workspace)):
        time.sleep(WARM_UP_S)
        before, began = cpu_seconds(home), time.monotonic()
        time.sleep(seconds)
        return (cpu_seconds(home) - before) / (time.monotonic() - began)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else MEASURED_S
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        shares = []
        for name in ("ours", "empty"):
            home = Path(folder, name)
            home.mkdir()
            (home / "dagster.yaml").write_text((ROOT / "dagster_home/dagster.yaml").read_text())
            os.environ |= {"DAGSTER_HOME": str(home), "WAVCAPS_STORE": str(home / "store")}
            if name == "empty":
                (home / "workspace.yaml").write_text(EMPTY)
                shares.append(share(home, home / "workspace.yaml", seconds))
                continue
            wait_for_a_quiet_time(START_S + WARM_UP_S + seconds)
            with code_servers(home):
                print(f"{switch_everything_on(WORKSPACE)} schedules and sensors are on")  # noqa: T201
                shares.append(share(home, WORKSPACE, seconds))
    ours, peer = shares
    report(
        "idle_daemon",
        100 * ours,
        "% of a core",
        "a daemon without definitions",
        100 * peer,
        children_peak_mb(),
    )
    if ours > MOST_SHARE:
        sys.exit(f"the idle daemon uses {100 * ours:.1f} % of a core; at most {100 * MOST_SHARE:g} %")


if __name__ == "__main__":
    main()
