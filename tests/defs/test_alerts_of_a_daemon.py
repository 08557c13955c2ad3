"""The sensor `alerts` in a real daemon: a site that changed, crawled by a job, the graph and a backfill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dagster_host import SELECTOR, Host, host, wait_until
from tests.support.graphql import LAUNCH_BACKFILL, LAUNCH_RUN
from tests.support.mail_server import MailServer, mail_server
from tests.support.rude_server import RudeServer, answer, rude_server

pytestmark = pytest.mark.soak

SLACK = "/services/T0/B0/planted-slack-secret"
PASSWORD = "planted-mail-password"
CHANGED = b"<html><body><h1>Welcome <!channel></h1></body></html>"
START = """mutation($s: SensorSelector!) {
  startSensor(sensorSelector: $s) { ... on Sensor { sensorState { status } } }
}"""
TICKS = """query($s: SensorSelector!) {
  sensorOrError(sensorSelector: $s) {
    ... on Sensor { sensorState { ticks(limit: 100) { status skipReason } } }
  }
}"""


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as served:
        yield served


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with rude_server() as rude:
        for number in range(1, 30):
            rude.answers[f"/listing/free-sound-effects-{number}.html"] = answer(CHANGED)
        rude.answers[SLACK] = answer(b"ok")
        yield rude


@pytest.fixture
def dagster(
    server: RudeServer, mail: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    here = server.url.partition("://")[2]
    settings = {
        "STORE": str(tmp_path / "store"),
        "SOUNDBIBLE__BASE_URL": server.url,
        "NETWORK__PRIVATE_HOSTS": json.dumps([here]),
        "NETWORK__QUOTAS": json.dumps({here: {"per_minute": None}}),
        "NETWORK__ATTEMPTS": "1",
        "ALERTS__SLACK_URL": f"{server.url}{SLACK}",
        "ALERTS__EMAIL__HOST": "127.0.0.1",
        "ALERTS__EMAIL__PORT": str(mail.port),
        "ALERTS__EMAIL__SECURITY": "none",
        "ALERTS__EMAIL__USER": "me",
        "ALERTS__EMAIL__PASSWORD": PASSWORD,
        "ALERTS__EMAIL__SENDER": "wavcaps@example.org",
        "ALERTS__EMAIL__RECIPIENTS": "you@example.org",
    }
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for name, value in settings.items():
        monkeypatch.setenv(f"WAVCAPS_{name}", value)
    with host(tmp_path) as started:
        yield started


def launch(dagster: Host, selector: dict[str, Any]) -> None:
    tags = [{"key": "dagster/partition", "value": "catalogue"}]
    params = {
        "selector": {**SELECTOR, **selector},
        "runConfigData": {},
        "executionMetadata": {"tags": tags},
    }
    launched = dagster.graphql(LAUNCH_RUN, params=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess"


def ticks(dagster: Host) -> list[dict[str, Any]]:
    found = dagster.graphql(TICKS, s={**SELECTOR, "sensorName": "alerts"})
    listed: list[dict[str, Any]] = found["sensorOrError"]["sensorState"]["ticks"]
    return listed


def test_one_message_however_it_was_started(
    dagster: Host, server: RudeServer, mail: MailServer, tmp_path: Path
) -> None:
    started = dagster.graphql(START, s={**SELECTOR, "sensorName": "alerts"})
    assert started["startSensor"]["sensorState"]["status"] == "RUNNING"

    def has_begun() -> bool:
        return any(tick["status"] == "SKIPPED" for tick in ticks(dagster))

    wait_until(has_begun, 600, lambda: ticks(dagster))
    raw_clips = {"path": ["soundbible", "raw_clips"]}
    launch(dagster, {"jobName": "crawl_soundbible"})
    launch(dagster, {"jobName": "__ASSET_JOB", "assetSelection": [raw_clips]})
    asked = {"assetSelection": [raw_clips], "partitionNames": ["catalogue"]}
    backfill = dagster.graphql(LAUNCH_BACKFILL, params=asked)["launchPartitionBackfill"]
    assert backfill["__typename"] == "LaunchBackfillSuccess"

    def statuses() -> list[str]:
        return [run.status.value for run in dagster.instance.get_runs()]

    wait_until(lambda: statuses() == ["FAILURE"] * 3, 900, statuses)
    # The tick that has seen all three.
    seen = len(ticks(dagster))
    wait_until(lambda: len(ticks(dagster)) >= seen + 2, 600, lambda: ticks(dagster))
    assert server.times(SLACK) == len(mail.messages) == 1
    (sent,) = (json.loads(one.body) for one in server.asked if one.path == SLACK)
    assert sent["text"].startswith("*SoundBible has changed its protocol, or refuses requests*")
    planted = [SLACK.rpartition("/")[2].encode(), PASSWORD.encode()]
    # SQLite's logs first: one that disappears meanwhile is in its database.
    files = sorted((path for path in tmp_path.rglob("*") if path.is_file()), reverse=True)
    read = {path: content for path in files if (content := content_of(path))}
    assert read and not [path for path, content in read.items() if any(word in content for word in planted)]


def content_of(path: Path) -> bytes:
    """What a file has; nothing if the daemon, which is at work, has removed it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
