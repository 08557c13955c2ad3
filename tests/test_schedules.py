"""The schedules, on a real instance, ask for what is missing and give up on what is broken."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import dagster as dg
import pytest

from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings

SETTINGS = Settings(freesound={"first_month": "2022-01", "last_month": "2022-07"})
NAME = "crawl_freesound"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


MONTHS = [f"2022-{month:02d}" for month in range(1, 8)]


def tick(instance: dg.DagsterInstance) -> tuple[list[str | None], str | None]:
    definitions = build(SETTINGS)
    repository = definitions.get_repository_def()
    schedule = repository.get_schedule_def(f"{NAME}_missing")
    with dg.build_schedule_context(instance=instance, repository_def=repository) as context:
        evaluated = schedule.evaluate_tick(context)
    return [request.partition_key for request in evaluated.run_requests or []], evaluated.skip_message


def materialize(instance: dg.DagsterInstance, month: str) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(dg.AssetKey(["freesound", "audio"]), partition=month)
    )


def add_run(instance: dg.DagsterInstance, month: str, status: dg.DagsterRunStatus) -> None:
    instance.add_run(
        dg.DagsterRun(
            job_name=NAME,
            run_id=str(uuid.uuid4()),
            status=status,
            tags={"dagster/partition": month},
        )
    )


def test_missing_months_are_asked_for_some_at_a_tick(instance: dg.DagsterInstance) -> None:
    materialize(instance, "2022-01")
    assert tick(instance) == (["2022-02", "2022-03", "2022-04", "2022-05"], None)


def test_months_that_are_under_way_are_not_asked_for_again(instance: dg.DagsterInstance) -> None:
    for month in ("2022-01", "2022-02", "2022-03"):
        add_run(instance, month, dg.DagsterRunStatus.STARTED)
    assert tick(instance) == (["2022-04"], None)


def test_a_broken_month_is_left_to_a_person(instance: dg.DagsterInstance) -> None:
    for _ in range(3):
        add_run(instance, "2022-01", dg.DagsterRunStatus.FAILURE)
    assert "2022-01" not in tick(instance)[0]
    for month in MONTHS[1:]:
        materialize(instance, month)
    asked, skipped = tick(instance)
    assert asked == []
    assert skipped is not None and "2022-01" in skipped
