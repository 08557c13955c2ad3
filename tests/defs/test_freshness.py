"""The check of each source's freshness fails when nothing runs, on a real instance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from tests.simulation.stepped_clock import SteppedClock
from wavcaps_assets.alerts.channels import channels_of
from wavcaps_assets.alerts.settings import AlertSettings
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs import alerts
from wavcaps_assets.defs.crawl_times import freshness_of, pace_of, switch_of
from wavcaps_assets.defs.failing_checks import newest_evaluation
from wavcaps_assets.defs.freshness import fresh_check, freshness_sensor
from wavcaps_assets.defs.jobs import fresh_check_key
from wavcaps_assets.defs.resources import store_of
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import LEDGER

MONTHS = [f"2022-{month:02d}" for month in range(1, 5)]


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "freesound")
    monkeypatch.setenv("WAVCAPS_FREESOUND__FIRST_MONTH", MONTHS[0])
    monkeypatch.setenv("WAVCAPS_FREESOUND__LAST_MONTH", MONTHS[-1])
    with dg.instance_for_test() as made:
        yield made


def materialize(instance: dg.DagsterInstance, asset: str, month: str) -> None:
    if asset == "ledger":
        store_of(Settings()).tables().write(["freesound", "ledger"], month, LEDGER.empty())
    event = dg.AssetMaterialization(dg.AssetKey(["freesound", asset]), partition=month)
    instance.report_runless_asset_event(event)


def switch_on(instance: dg.DagsterInstance, name: str, since: datetime) -> None:
    """Switches a schedule on as the UI does."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="wavcaps_assets.definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    data = ScheduleInstigatorData("*/30 * * * *", since.timestamp())
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, data)
    )


def source() -> Source:
    (found,) = all_sources(Settings())
    return found


def tick(instance: dg.DagsterInstance) -> list[dg.AssetCheckEvaluation]:
    """What the sensor reports, which the daemon then writes."""
    sensor = freshness_sensor([source()], store_of(Settings()))
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    with dg.build_sensor_context(instance) as context:
        events = [
            event
            for event in sensor.evaluate_tick(context).asset_events
            if isinstance(event, dg.AssetCheckEvaluation)
        ]
    for event in events:
        instance.report_runless_asset_event(event)
    return events


@pytest.mark.slow
def test_it_fails_when_nothing_runs_and_is_reported_once(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in MONTHS[:3]:
        materialize(instance, "raw_clips", month)
        materialize(instance, "ledger", month)
    (first,) = tick(instance)
    assert first.passed and first.asset_check_key == fresh_check_key(source())
    assert "is off" in (first.description or "")
    assert tick(instance) == []

    clock = SteppedClock(datetime.now(UTC), monkeypatch)
    switch_on(instance, "crawl_freesound_missing", utc_now())
    assert switch_of(instance, "crawl_freesound_missing").on
    # The description has changed.
    assert [event.passed for event in tick(instance)] == [True]
    clock.set(clock.now() + timedelta(hours=25))
    (missing,) = tick(instance)
    assert not missing.passed and missing.severity is dg.AssetCheckSeverity.WARN and not missing.blocking
    assert "Overdue: 1 of 4 partitions, since" in (missing.description or "")
    assert missing.metadata["overdue partitions"].value == 1
    # Nothing runs for months: those that were crawled are overdue as well.
    clock.set(clock.now() + timedelta(days=365))
    (stale,) = tick(instance)
    assert stale.metadata["overdue partitions"].value == 4


@pytest.mark.slow
def test_a_check_that_a_run_has_only_planned_has_no_outcome(instance: dg.DagsterInstance) -> None:
    (first,) = tick(instance)

    @dg.asset(key=["freesound", "ledger"])
    def ledger() -> None: ...

    definitions = dg.Definitions(
        assets=[ledger],
        asset_checks=[fresh_check(source())],
        resources={"store": store_of(Settings())},
        jobs=[dg.define_asset_job("make", dg.AssetSelection.all())],
    )
    instance.create_run_for_job(definitions.resolve_job_def("make"))
    found = newest_evaluation(instance, fresh_check_key(source()))
    assert found is not None and found[0].description == first.description
    assert tick(instance) == []
    settings = AlertSettings.model_validate({"webhook_url": "http://127.0.0.1:9/"})
    assert "0 runs have ended" in str(alerts.tick(instance, [source()], channels_of(settings)))


@pytest.mark.slow
def test_a_partition_is_as_old_as_its_listing(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in MONTHS:
        materialize(instance, "raw_clips", month)
        materialize(instance, "ledger", month)
    clock = SteppedClock(datetime.now(UTC), monkeypatch)
    clock.set(clock.now() + timedelta(days=365))
    tables = store_of(Settings()).tables()
    assert len(freshness_of(instance, tables, source(), utc_now()).overdue) == 4
    # A ledger that is made again from the old listing, in the real present.
    materialize(instance, "ledger", MONTHS[0])
    assert len(freshness_of(instance, tables, source(), utc_now()).overdue) == 4


@pytest.mark.slow
def test_the_pace_counts_each_partition_once(instance: dg.DagsterInstance) -> None:
    assert pace_of(instance, source(), utc_now()) is None
    for month in (*MONTHS[:2], MONTHS[0]):
        materialize(instance, "ledger", month)
    now = datetime.now(UTC)
    assert pace_of(instance, source(), now) is None
    # The second one, in four days.
    assert pace_of(instance, source(), now + timedelta(days=4)) == pytest.approx(0.25, rel=0.01)
    assert pace_of(instance, source(), now + timedelta(days=9)) is None
