"""`deploy/compose.yaml` read as Docker Compose reads it, and its services started by hand.

Containers cannot run in a test. A service's command, environment and configuration files are those of the
file; only addresses differ, since all services are on this machine.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT
from tests.support.processes import end

DEPLOY = ROOT / "deploy"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[?-])(?P<rest>[^}]*))?\}")


class NotSet(KeyError):
    """A variable that the file requires is not set."""


def services(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services of the file, with the variables of `deploy/.env` filled in."""
    text = (DEPLOY / "compose.yaml").read_text()
    found = yaml.safe_load(VARIABLE.sub(lambda match: _value(match, variables), text))["services"]
    assert isinstance(found, dict)
    return found


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, rest = match["name"], match["kind"], match["rest"]
    if variables.get(name):
        return variables[name]
    if kind == ":-":
        return str(rest)
    raise NotSet(f"{name}: {rest}")


@contextmanager
def started(
    service: Mapping[str, Any], addresses: Mapping[str, str], ports: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a service's command. It ends as a container does, with all processes that it has started.

    Args:
        service: of the file.
        addresses: environment variables whose values differ on this machine.
        ports: the service's own ports, and what they are on this machine.
        log: gets what it prints.
    """
    outside = {"PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name in outside}
    environment |= {name: str(value) for name, value in service["environment"].items()} | dict(addresses)
    here = {"0.0.0.0": "127.0.0.1", **ports}
    command = [here.get(word, word) for word in service["command"]]
    programs = Path(sys.executable).parent
    command[0] = str(programs / command[0])
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            end(process)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
