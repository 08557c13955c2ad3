"""Where the process of a run is: a process id means nothing on another host or in another container."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX

from wavcaps_assets.defs.own_tags import add_own_tags, own_tag

# On a run: the host of its process, as JSON. The web UI does not show it.
PROCESS_TAG = f"{HIDDEN_TAG_PREFIX}wavcaps/process"
# Its name in version 0.1, whose runs an upgrade can end.
FORMER_PROCESS_TAG = "wavcaps/process"


@dataclass(frozen=True)
class Host:
    """Where process ids are unique.

    Attributes:
        name: of the machine or the container, with its machine id.
        pid_namespace: of its processes, which differs between containers.
        boot: id of the machine's last start; no process of an earlier one is left.
    """

    name: str
    pid_namespace: str
    boot: str


def this_host() -> Host | None:
    """The host of this process; None where it cannot be determined, as on other systems than Linux."""
    try:
        machine = Path("/etc/machine-id").read_text().strip() if Path("/etc/machine-id").exists() else ""
        return Host(
            f"{platform.node()} {machine}",
            str(Path("/proc/self/ns/pid").readlink()),
            Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        )
    except OSError:
        return None


def tag_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Records on a run where its process is, if this is that process or one of its children."""
    host = this_host()
    if host is not None:
        pids = [os.getpid(), os.getppid()]
        add_own_tags(instance, run_id, {PROCESS_TAG: json.dumps({**asdict(host), "pids": pids})})


def recorded_by(run: dg.DagsterRun) -> str | None:
    """Where a run has recorded that its process is; None: it has not."""
    return own_tag(run, PROCESS_TAG) or own_tag(run, FORMER_PROCESS_TAG)


def host_of(run: dg.DagsterRun, pid: int) -> Host | None:
    """The host on which a run's process has a process id; None if that is not known."""
    try:
        recorded = json.loads(recorded_by(run) or "")
        pids = recorded.pop("pids")
        return Host(**recorded) if pid in pids else None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
