"""A team's installation whose services a test starts, stops and kills one by one, with one clock for all.

The services are those of `deploy/compose.yaml`, with Debian's Postgres and moto's S3 server behind gates.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.defs.test_backfills import BACKFILL, paths
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.compose import DEPLOY, services, started
from tests.support.dagster_host import SELECTOR, wait_until
from tests.support.fake_clock import FakeClock
from tests.support.gate import Gate, gate
from tests.support.graphql import LAUNCH_BACKFILL, LAUNCH_RUN, execution
from tests.support.paths import ROOT
from tests.support.postgres import serving_postgres
from wavcaps_assets.store.bucket_requests import connect
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
SECRETS = {
    "UI_USER": "researcher",
    "UI_PASSWORD_HASH": "not used here",
    "DAGSTER_POSTGRES_PASSWORD": "secret",
    "AWS_ACCESS_KEY_ID": "wavcaps",
    "AWS_SECRET_ACCESS_KEY": "bucket-secret",
}
# No wait for runs ends before, however busy the machine is (s).
LONG_S = 3600
# Services that have a port, by the port of the file.
PORTS = {"assets": "4000", "training": "4000", "webserver": "3000"}

RUNS = """query Runs($limit: Int) { runsOrError(limit: $limit) { ... on Runs { results {
  runId jobName status tags { key value } assetSelection { path } } } } }"""
SWITCH = {
    "schedules": """mutation On($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) {
      __typename ... on PythonError { message } } }""",
    "sensors": """mutation On($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
      __typename ... on PythonError { message } } }""",
}
TICKS = """query Ticks($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) {
  ... on InstigationState { status ticks(limit: 5) { status skipReason error { message } } } } }"""

LOOKED_AT = """query Looked($selector: RepositorySelector!) {
  schedulesOrError(repositorySelector: $selector) { ... on Schedules { results {
    name scheduleState { status ticks(limit: 1) { timestamp status } } } } }
  sensorsOrError(repositorySelector: $selector) { ... on Sensors { results {
    name sensorState { status ticks(limit: 1) { timestamp status } } } } } }"""


@dataclass(frozen=True)
class Run:
    """A run, as the web UI lists it."""

    id: str
    job: str
    status: str
    tags: Mapping[str, str]

    @property
    def partition(self) -> str:
        return self.tags.get("dagster/partition", "")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def in_container(command: Sequence[str]) -> list[str]:
    """A command that runs with a host name and process ids of its own."""
    separate = ["/usr/bin/unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    program = str(Path(sys.executable).parent / command[0])
    return [*separate, "sh", "-c", 'hostname "$0" && exec "$@"', uuid4().hex[:12], program, *command[1:]]


@dataclass
class Installation:
    """The services.

    Attributes:
        folder: of logs and of what machines have on their disks.
        clock: of all services.
        postgres: the gate before it.
        bucket: the gate before the S3 server.
        assets: environment of the code location of the data, as of `keys.env`.
        trains: whether the code location of the training takes part.
        contained: whether a code location has a host name and process ids of its own, as in a container,
            and all its processes end at once. It needs root.
    """

    folder: Path
    clock: FakeClock
    postgres: Gate
    bucket: Gate
    assets: dict[str, str]
    trains: bool = True
    contained: bool = False
    ports: dict[str, int] = field(default_factory=dict)
    _running: dict[str, tuple[ExitStack, subprocess.Popen[bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._compose = services(SECRETS)
        self.ports = {name: free_port() for name in PORTS}
        self.home = self.folder / "home"
        self.home.mkdir(parents=True)
        shutil.copy(ROOT / "dagster_home" / "team" / "dagster.yaml", self.home)
        self.locations = ["assets", "training"] if self.trains else ["assets"]
        workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
        del workspace["load_from"][len(self.locations) :]
        self.workspace = self.folder / "workspace.yaml"
        self.workspace.write_text(yaml.safe_dump(workspace))

    @property
    def bucket_url(self) -> str:
        return f"http://127.0.0.1:{self.bucket.port}"

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.ports['webserver']}"

    def environment(self, name: str) -> dict[str, str]:
        """What differs from the file, since all services are on this machine."""
        found = {
            **self.clock.environment,
            # The superuser and the database that an empty Debian server has.
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(self.postgres.port),
            "DAGSTER_POSTGRES_USER": "postgres",
            "DAGSTER_POSTGRES_DB": "postgres",
            "DAGSTER_HOME": str(self.home),
            "WAVCAPS_STATE": str(self.folder / f"state of {name}"),
            "WAVCAPS_S3__ENDPOINT_URL": self.bucket_url,
        }
        if name == "training":
            return found | {"WAVCAPS_SOURCES": "embedded"}
        if name == "assets":
            return found | {"WAVCAPS_SOURCES": "embedded"} | self.assets
        locations = {f"{one.upper()}_PORT": str(self.ports[one]) for one in self.locations}
        return found | locations | {"ASSETS_HOST": "127.0.0.1", "TRAINING_HOST": "127.0.0.1"}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        stack = ExitStack()
        here = {"deploy/workspace.yaml": str(self.workspace)}
        if name in PORTS:
            here[PORTS[name]] = str(self.ports[name])
        log = self.folder / f"{name}.{int(time.monotonic() * 1000)}.log"
        service = self._compose[name]
        if self.contained and name in self.locations:
            service = service | {"command": in_container(service["command"])}
        process = stack.enter_context(started(service, self.environment(name), here, log))
        self._running[name] = (stack, process)
        return process

    def start_all(self) -> None:
        assert self.start("buckets").wait(60) == 0, self.logs()
        for name in self.locations:
            self.start(name)
        for name in self.locations:
            self.wait_for_location(name)
        for name in ("webserver", "daemon"):
            self.start(name)
        wait_until(self.answers, 120, self.logs)

    def wait_for_location(self, name: str) -> None:
        check = [sys.executable, "-m", "dagster", "api", "grpc-health-check", "-p", str(self.ports[name])]
        wait_until(lambda: subprocess.run(check, capture_output=True).returncode == 0, 180, self.logs)

    def stop(self, name: str) -> None:
        self._running.pop(name)[0].close()

    def kill(self, name: str) -> None:
        """As a machine that loses its power does it."""
        self._running[name][1].kill()
        self.stop(name)

    @contextmanager
    def stalled(self, name: str) -> Iterator[None]:
        """Meanwhile, none of a service's processes does anything, as on a host that is too busy."""
        group = self._running[name][1].pid
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    def restart(self, name: str, loads: bool = True, waits: bool = True) -> None:
        """As `docker compose up` does after a change of `keys.env`: its runs end.

        Args:
            loads: whether the web server can load the code location afterwards, which is waited for.
            waits: whether a run that is nearly done may end well before.
        """
        if waits:
            self.stop(name)
        else:
            self.kill(name)
        self.start(name)
        self.wait_for_location(name)
        if loads:
            wait_until(self.is_loaded, LONG_S, self.logs)

    def is_loaded(self) -> bool:
        """Whether the web server can show the code location of the data."""
        try:
            return "results" in self.graphql(LOOKED_AT, selector=SELECTOR)["schedulesOrError"]
        except (OSError, AssertionError):
            return False

    def stop_all(self) -> None:
        for name in list(reversed(self._running)):
            # A code server would wait for its runs.
            self.kill(name)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.web}/server_info", timeout=10):
                return True
        except OSError:
            return False

    def status(self, run_id: str) -> str:
        return next(run.status for run in self.runs() if run.id == run_id)

    def log_of(self, name: str) -> str:
        """What a service has printed since it was started last."""
        return max(self.folder.glob(f"{name}.*.log")).read_text(errors="replace")

    def logs(self) -> str:
        texts = [path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("*.log"))]
        return "\n".join(texts)

    def graphql(self, query: str, **variables: Any) -> Any:
        """The data of the web server's answer, which has no errors."""
        request = urllib.request.Request(
            f"{self.web}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert "errors" not in found, found
        return found["data"]

    def switch_on(self, kind: str, name: str) -> None:
        """Switches a schedule or a sensor on, as the page Automation does.

        Args:
            kind: `schedules` or `sensors`.
        """
        key = {"schedules": "scheduleName", "sensors": "sensorName"}[kind]
        answer = self.graphql(SWITCH[kind], selector={**SELECTOR, key: name})
        assert "Error" not in json.dumps(answer), answer

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """The newest ticks of a schedule or sensor."""
        answer = self.graphql(TICKS, selector={**SELECTOR, "name": name})
        found = answer["instigationStateOrError"]["ticks"]
        assert isinstance(found, list)
        return found

    def launch(self, job: str, partition: str = "", **selection: Any) -> str:
        """Launches a run as the web UI does. Returns its id."""
        tags = {"dagster/partition": partition} if partition else {}
        params = execution(job, tags, **selection)
        launched = self.graphql(LAUNCH_RUN, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def backfill(self, keys: Sequence[Sequence[str]], partitions: Sequence[str]) -> str:
        """Launches a backfill as the asset graph does. Returns its id."""
        params = {"assetSelection": paths(*keys), "partitionNames": list(partitions)}
        launched = self.graphql(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def backfill_status(self, backfill_id: str) -> str:
        found = self.graphql(BACKFILL, id=backfill_id)["partitionBackfillOrError"]
        return str(found["status"])

    def wait_for_backfill(self, backfill_id: str, timeout_s: float = LONG_S) -> str:
        """Waits until a backfill has ended. Returns its status."""
        ended = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
        wait_until(
            lambda: self.backfill_status(backfill_id) in ended,
            timeout_s,
            lambda: (self.backfill_status(backfill_id), self.runs(), self.logs()),
        )
        return self.backfill_status(backfill_id)

    def of_backfill(self, backfill_id: str) -> list[Run]:
        return [run for run in self.runs() if run.tags.get("dagster/backfill") == backfill_id]

    def runs(self, limit: int = 500) -> list[Run]:
        """All runs, newest first."""
        found = self.graphql(RUNS, limit=limit)["runsOrError"]["results"]
        return [
            Run(
                one["runId"],
                one["jobName"],
                one["status"],
                {tag["key"]: tag["value"] for tag in one["tags"]},
            )
            for one in found
        ]

    def settle(self, timeout_s: float = LONG_S) -> None:
        """Waits until no run is left to do."""

        def unfinished() -> list[Run]:
            return [run for run in self.runs() if run.status in UNFINISHED]

        wait_until(lambda: not unfinished(), timeout_s, lambda: (unfinished(), self.logs()))

    def switch_all_on(self, sources: Sequence[str]) -> None:
        """The whole automation of these sources."""
        for source in sources:
            self.switch_on("schedules", f"crawl_{source}_missing")
            self.switch_on("sensors", f"process_{source}")
        self.switch_on("sensors", "publish_new_version")

    def pass_time(self, by: timedelta) -> None:
        """Moves the clock, lets the daemon look at what is on, and waits until all runs have ended.

        Args:
            by: at least half an hour, so that every schedule and sensor is due.
        """
        moved_at = self.clock.now()
        self.clock.move(by)
        self.catch_up(moved_at)

    def catch_up(self, since: datetime) -> None:
        """Waits until the daemon has looked at what is on since a time, and all runs have ended."""
        wait_until(lambda: not self._not_looked_at(since.timestamp()), LONG_S, self.logs)
        self.settle()

    def _not_looked_at(self, since: float) -> list[str]:
        """The schedules and sensors that are on, and have had no tick since a time that has ended."""
        try:
            found = self.graphql(LOOKED_AT, selector=SELECTOR)
        except (OSError, AssertionError):
            # The web server loads a code location again.
            return ["not known"]
        if "results" not in found["schedulesOrError"]:
            return ["not known"]
        every = [
            *((one["name"], one["scheduleState"]) for one in found["schedulesOrError"]["results"]),
            *((one["name"], one["sensorState"]) for one in found["sensorsOrError"]["results"]),
        ]
        return [
            name
            for name, state in every
            if state["status"] == "RUNNING"
            and not any(tick["timestamp"] > since and tick["status"] != "STARTED" for tick in state["ticks"])
        ]

    def pass_time_until(self, done: Callable[[], bool], by: timedelta, times: int) -> None:
        """Lets time pass until something is so, at most this many times."""
        for _ in range(times):
            if done():
                return
            self.pass_time(by)
        assert done(), ([(run.job, run.partition, run.status) for run in self.runs()], self.logs())

    def tables(self) -> TableStore:
        return TableStore(Store("s3://wavcaps/store", connect(self.bucket_url, "us-east-1")))


@contextmanager
def serving_bucket() -> Iterator[Gate]:
    """An S3 server behind a gate, with the credentials of `SECRETS` in this process."""
    with (
        pytest.MonkeyPatch.context() as own,
        serving_atomic_s3() as url,
        gate(int(url.rpartition(":")[2])) as to_bucket,
    ):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            own.setenv(name, SECRETS[name])
        yield to_bucket


@contextmanager
def installation(
    folder: Path, clock: FakeClock, bucket: Gate, assets: Mapping[str, str], trains: bool = True
) -> Iterator[Installation]:
    """Postgres runs; the other services are started by `start` and `start_all`.

    Args:
        bucket: the gate before the S3 server, which several machines may share.
        assets: environment of the code location of the data.
    """
    with serving_postgres(clock.environment) as postgres, gate(postgres) as to_postgres:
        made = Installation(folder, clock, to_postgres, bucket, dict(assets), trains)
        try:
            yield made
        finally:
            made.stop_all()
