"""A real cluster of Ray: one machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import end

CLUSTER_START_S = 120


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def processes_with(words: str) -> list[int]:
    """Processes whose command line has these words."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if words.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@contextmanager
def serving_ray(variables: Mapping[str, str], gpus: int = 0) -> Iterator[str]:
    """Gives the address of the cluster's dashboard.

    Args:
        variables: environment variables of the cluster.
        gpus: how many it says that it has.
    """
    from ray.util.state import list_nodes

    port, dashboard_port = free_ports(2)
    # Ray's sockets are below it, and their paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block"]
        command += [f"--num-gpus={gpus}"]
        command += ["--num-cpus=2", f"--port={port}", f"--dashboard-port={dashboard_port}"]
        command += [f"--temp-dir={folder}", "--disable-usage-stats", "--object-store-memory=100000000"]
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "CUDA_"))
        }
        environment |= variables
        log = Path(folder, "start.log")
        with log.open("wb") as output:
            head = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            address = f"http://127.0.0.1:{dashboard_port}"
            give_up = time.monotonic() + CLUSTER_START_S
            while not (answers(dashboard_port) and list_nodes(address=address)):
                assert head.poll() is None and time.monotonic() < give_up, log.read_text()
                time.sleep(0.2)
            yield address
        finally:
            end(head, 20)
            for process in processes_with(folder):
                os.kill(process, signal.SIGKILL)
