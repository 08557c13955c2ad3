"""Runs whose process is gone are ended, so that their partitions are taken up again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import dagster as dg
import pytest

from wavcaps_assets.defs import dead_runs
from wavcaps_assets.defs.dead_runs import SERVER_TAG, end_dead_runs

NOBODY = json.dumps({"host": "localhost", "socket": "/nobody/listens/here"})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def started(instance: dg.DagsterInstance, **tags: str) -> str:
    run = dg.DagsterRun(
        job_name="crawl_freesound",
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.STARTED,
        tags=tags,
    )
    instance.add_run(run)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def tick(instance: dg.DagsterInstance, cursor: str | None) -> str | None:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        end_dead_runs(context)
        return context.cursor


def test_a_run_is_ended_when_its_server_is_gone_for_long(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = started(instance, **{SERVER_TAG: NOBODY})
    cursor = tick(instance, None)
    # A server that was only busy would have answered by the next tick.
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0)
    tick(instance, cursor)
    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_another_launcher_started_is_left_to_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_runs, "GONE_AFTER_S", 0)
    run_id = started(instance)
    tick(instance, tick(instance, None))
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
