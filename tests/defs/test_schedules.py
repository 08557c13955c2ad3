"""The schedules, on a real instance, ask for what is missing and give up on what is broken."""

from __future__ import annotations

import tarfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, JobFailureData, RunFailureReason
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG

from tests.simulation.stepped_clock import SteppedClock
from tests.support.paths import ROOT
from wavcaps_assets.crawl.backfill import BackfillSettings
from wavcaps_assets.definitions import build
from wavcaps_assets.defs.pauses import INCOMPLETE_TAG, PAUSED_TAG
from wavcaps_assets.defs.resources import StoreResource, store_of
from wavcaps_assets.defs.schedules import missing_partitions_schedule
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.tables import LEDGER, RAW_CLIPS

NAME = "crawl_freesound"


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_FREESOUND__FIRST_MONTH", MONTHS[0])
    monkeypatch.setenv("WAVCAPS_FREESOUND__LAST_MONTH", MONTHS[-1])
    with dg.instance_for_test() as made:
        yield made


MONTHS = [f"2022-{month:02d}" for month in range(1, 8)]


def tick(
    instance: dg.DagsterInstance,
    limits: BackfillSettings | None = None,
    at: datetime = datetime(2026, 11, 1, 12, 30, tzinfo=UTC),
) -> tuple[list[str | None], str | None]:
    definitions = build(Settings())
    repository = definitions.get_repository_def()
    schedule = repository.get_schedule_def(f"{NAME}_missing")
    if limits is not None:
        source, store = all_sources(Settings())[0], store_of(Settings())
        schedule = missing_partitions_schedule(source, store, live=False, settings=limits)
    with dg.build_schedule_context(
        instance=instance, repository_def=repository, scheduled_execution_time=at
    ) as context:
        evaluated = schedule.evaluate_tick(context)
    return [request.partition_key for request in evaluated.run_requests or []], evaluated.skip_message


def materialize(instance: dg.DagsterInstance, month: str) -> None:
    store_of(Settings()).tables().write(["freesound", "ledger"], month, LEDGER.empty())
    instance.report_runless_asset_event(
        dg.AssetMaterialization(dg.AssetKey(["freesound", "ledger"]), partition=month)
    )


def add_run(
    instance: dg.DagsterInstance,
    month: str,
    status: dg.DagsterRunStatus,
    tags: dict[str, str] | None = None,
    graph_asset: list[str] | None = None,
) -> str:
    """A run of the source's job; or of one asset, as the asset graph launches it."""
    run = dg.DagsterRun(
        job_name="__ASSET_JOB" if graph_asset else NAME,
        asset_selection=frozenset([dg.AssetKey(graph_asset)]) if graph_asset else None,
        run_id=str(uuid.uuid4()),
        status=status,
        tags={"dagster/partition": month, **(tags or {})},
    )
    instance.add_run(run)
    return run.run_id


def add_failed_run(instance: dg.DagsterInstance, month: str, graph_asset: list[str] | None = None) -> str:
    """A run one of whose steps failed, and not a run whose process died."""
    run_id = add_run(instance, month, dg.DagsterRunStatus.STARTED, graph_asset=graph_asset)
    reason = JobFailureData(error=None, failure_reason=RunFailureReason.STEP_FAILURE)
    event = DagsterEvent(
        event_type_value=dg.DagsterEventType.RUN_FAILURE.value, job_name=NAME, event_specific_data=reason
    )
    instance.report_dagster_event(event, run_id)
    return run_id


@pytest.mark.slow
def test_missing_months_are_asked_for_some_at_a_tick(instance: dg.DagsterInstance) -> None:
    materialize(instance, "2022-01")
    assert tick(instance) == (["2022-02", "2022-03", "2022-04", "2022-05"], None)


@pytest.mark.slow
def test_months_that_are_under_way_are_not_asked_for_again(instance: dg.DagsterInstance) -> None:
    for month in ("2022-01", "2022-02", "2022-03"):
        add_run(instance, month, dg.DagsterRunStatus.STARTED)
    assert tick(instance) == (["2022-04"], None)


@pytest.mark.slow
def test_a_broken_month_is_left_to_a_person(instance: dg.DagsterInstance) -> None:
    for _ in range(3):
        add_failed_run(instance, "2022-01")
    assert "2022-01" not in tick(instance)[0]
    for month in MONTHS[1:]:
        materialize(instance, month)
    asked, skipped = tick(instance)
    assert asked == []
    assert skipped is not None and "2022-01" in skipped


@pytest.mark.slow
def test_a_month_that_failed_for_a_day_is_asked_for_the_day_after(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteppedClock(datetime(2026, 11, 2, 1, tzinfo=UTC), monkeypatch)
    for day in (2, 3):
        clock.set(datetime(2026, 11, day, day, tzinfo=UTC))
        assert "2022-01" in tick(instance)[0]
        for _ in range(3):
            add_failed_run(instance, "2022-01")
        assert "2022-01" not in tick(instance)[0]
    clock.set(datetime(2026, 11, 4, 4, tzinfo=UTC))
    assert "2022-01" in tick(instance)[0]
    add_failed_run(instance, "2022-01")
    # It failed on three days: a person has to look.
    clock.set(datetime(2026, 11, 9, tzinfo=UTC))
    assert "2022-01" not in tick(instance)[0]


@pytest.mark.slow
def test_a_month_whose_machine_died_is_asked_for_again(instance: dg.DagsterInstance) -> None:
    for _ in range(4):
        add_run(instance, "2022-01", dg.DagsterRunStatus.FAILURE)
    assert "2022-01" in tick(instance)[0]


@pytest.mark.slow
def test_what_only_the_event_log_has_is_missing(instance: dg.DagsterInstance) -> None:
    ledger = dg.AssetKey(["freesound", "ledger"])
    instance.report_runless_asset_event(dg.AssetMaterialization(ledger, partition="2022-01"))
    store_of(Settings()).tables().write(["freesound", "ledger"], "2022-02", LEDGER.empty())
    assert tick(instance)[0][:2] == ["2022-01", "2022-03"]


def test_the_demos_clips_are_not_those_of_the_site(tmp_path: Path) -> None:
    with tarfile.open(ROOT / "tests" / "compat" / "home.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    store = StoreResource(root=str(tmp_path / "store"))
    source = all_sources(Settings())[0]
    skipped = {}
    with dg.instance_for_test() as instance:
        for live in (True, False):
            schedule = missing_partitions_schedule(source, store, live)
            with dg.build_schedule_context(
                instance=instance, scheduled_execution_time=datetime(2026, 11, 1, tzinfo=UTC)
            ) as context:
                skipped[live] = schedule.evaluate_tick(context).skip_message
    assert skipped[False] == "0 partitions of FreeSound are missing"
    assert "has clips of the demo" in (skipped[True] or "")


@pytest.mark.slow
def test_a_listing_that_was_read_is_not_read_again_for_its_audio(instance: dg.DagsterInstance) -> None:
    store_of(Settings()).tables().write(["freesound", "raw_clips"], "2022-02", RAW_CLIPS.empty())
    instance.report_runless_asset_event(
        dg.AssetMaterialization(dg.AssetKey(["freesound", "raw_clips"]), partition="2022-02")
    )
    repository = build(Settings()).get_repository_def()
    schedule = repository.get_schedule_def(f"{NAME}_missing")
    at = datetime(2026, 11, 1, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=instance, repository_def=repository, scheduled_execution_time=at
    ) as context:
        requests = schedule.evaluate_tick(context).run_requests or []
    selected = {request.partition_key: request.asset_selection for request in requests}
    assert selected["2022-01"] is None
    assert selected["2022-02"] == [dg.AssetKey(["freesound", name]) for name in ("audio", "ledger")]


@pytest.mark.slow
def test_what_something_was_missing_of_is_crawled_again_a_day_later(instance: dg.DagsterInstance) -> None:
    for month in MONTHS:
        materialize(instance, month)
    incomplete = {INCOMPLETE_TAG: "true"}
    add_run(instance, "2022-03", dg.DagsterRunStatus.SUCCESS, incomplete)
    add_run(instance, "2022-04", dg.DagsterRunStatus.SUCCESS, incomplete)
    # Another run has completed it since.
    add_run(instance, "2022-04", dg.DagsterRunStatus.SUCCESS)
    assert tick(instance)[0] == []
    soon = BackfillSettings(again_after_h=1e-9)
    assert tick(instance, soon)[0] == ["2022-03"]
    for _ in range(2):
        add_run(instance, "2022-03", dg.DagsterRunStatus.SUCCESS, incomplete)
    assert tick(instance, soon)[0] == []


@pytest.mark.slow
def test_a_pause_is_waited_for_and_is_no_failure(instance: dg.DagsterInstance) -> None:
    now = datetime.now(UTC)
    over = {PAUSED_TAG: (now - timedelta(minutes=1)).isoformat()}
    for _ in range(9):
        add_run(instance, "2022-01", dg.DagsterRunStatus.SUCCESS, over)
    assert "2022-01" in tick(instance)[0]
    add_run(
        instance, "2022-01", dg.DagsterRunStatus.SUCCESS, {PAUSED_TAG: (now + timedelta(hours=2)).isoformat()}
    )
    asked, skipped = tick(instance)
    assert asked == []
    assert skipped is not None and "paused until" in skipped


@pytest.mark.slow
def test_finished_months_are_crawled_again_some_at_a_tick(instance: dg.DagsterInstance) -> None:
    for month in MONTHS:
        materialize(instance, month)
    assert tick(instance)[0] == []
    later = datetime.now(UTC) + timedelta(days=200)
    assert len(tick(instance, at=later)[0]) == 4
    # A run of the last day, even one that failed, is not repeated at once.
    for month in MONTHS:
        add_failed_run(instance, month)
    assert tick(instance, at=datetime.now(UTC) + timedelta(hours=1))[0] == []


RAW, OTHER = ["freesound", "raw_clips"], ["soundbible", "raw_clips"]


@pytest.mark.slow
def test_runs_of_the_asset_graph_count_like_those_of_the_job(instance: dg.DagsterInstance) -> None:
    add_run(instance, "2022-01", dg.DagsterRunStatus.STARTED, graph_asset=RAW)
    for _ in range(3):
        add_failed_run(instance, "2022-02", graph_asset=RAW)
    # Another source's run of a partition with the same name.
    add_run(instance, "2022-03", dg.DagsterRunStatus.STARTED, graph_asset=OTHER)
    assert tick(instance)[0] == ["2022-03", "2022-04", "2022-05"]


@pytest.mark.slow
def test_a_pause_counts_whoever_launched_the_run(instance: dg.DagsterInstance) -> None:
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    add_run(instance, "2022-01", dg.DagsterRunStatus.SUCCESS, {PAUSED_TAG: until}, graph_asset=OTHER)
    assert tick(instance)[0]
    add_run(instance, "2022-01", dg.DagsterRunStatus.SUCCESS, {PAUSED_TAG: until}, graph_asset=RAW)
    asked, skipped = tick(instance)
    assert asked == []
    assert skipped is not None and "paused until" in skipped


@pytest.mark.slow
def test_a_cancelled_partition_is_left_to_a_person_until_a_person_runs_it(
    instance: dg.DagsterInstance,
) -> None:
    add_run(instance, "2022-01", dg.DagsterRunStatus.CANCELED, graph_asset=RAW)
    assert tick(instance)[0] == ["2022-02", "2022-03", "2022-04", "2022-05"]
    for month in MONTHS[1:]:
        materialize(instance, month)
    asked, skipped = tick(instance)
    assert asked == []
    assert skipped is not None and "cancellation: 2022-01" in skipped
    add_failed_run(instance, "2022-01")
    assert tick(instance)[0] == ["2022-01"]


def test_a_run_says_what_ended_it() -> None:
    """The schedule need not read logs: 300 of them took 11 s."""

    @dg.asset
    def broken() -> None:
        raise ValueError

    with dg.instance_for_test() as made:
        dg.materialize([broken], instance=made, raise_on_error=False)
        (run,) = made.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert run.tags[RUN_FAILURE_REASON_TAG] == "STEP_FAILURE"
        made.report_run_failed(
            made.create_run_for_job(
                dg.define_asset_job("job", "*").resolve(
                    asset_graph=dg.Definitions(assets=[broken]).resolve_asset_graph()
                )
            )
        )
        assert RUN_FAILURE_REASON_TAG not in made.get_runs(limit=1)[0].tags


@pytest.mark.slow
def test_an_incomplete_run_of_the_asset_graph_is_completed(instance: dg.DagsterInstance) -> None:
    for month in MONTHS:
        materialize(instance, month)
    ledger = ["freesound", "ledger"]
    add_run(instance, "2022-05", dg.DagsterRunStatus.SUCCESS, {INCOMPLETE_TAG: "true"}, graph_asset=ledger)
    assert tick(instance, BackfillSettings(again_after_h=1e-9))[0] == ["2022-05"]


@pytest.mark.slow
def test_sources_with_a_partition_of_the_same_name_do_not_hide_each_others_runs(
    instance: dg.DagsterInstance,
) -> None:
    repository = build(Settings()).get_repository_def()
    bbc = next(source for source in all_sources(Settings()) if source.name == "bbc_sound_effects")
    store_of(Settings()).tables().write([bbc.name, "ledger"], "catalogue", LEDGER.empty())
    schedule = missing_partitions_schedule(
        bbc, store_of(Settings()), live=False, settings=BackfillSettings(again_after_h=1e-9)
    )

    def requested() -> tuple[list[str | None], str | None]:
        at = datetime(2026, 11, 1, tzinfo=UTC)
        with dg.build_schedule_context(
            instance=instance, repository_def=repository, scheduled_execution_time=at
        ) as context:
            evaluated = schedule.evaluate_tick(context)
        return [request.partition_key for request in evaluated.run_requests or []], evaluated.skip_message

    def add(source: str, tags: dict[str, str]) -> None:
        key = [source, "ledger"]
        add_run(instance, "catalogue", dg.DagsterRunStatus.SUCCESS, tags, graph_asset=key)

    incomplete = {INCOMPLETE_TAG: "true"}
    assert requested() == ([], "0 partitions of BBC Sound Effects are missing")
    for number in range(3):
        assert requested()[0] == (["catalogue"] if number else [])
        add(bbc.name, incomplete)
        for _ in range(4):
            add("soundbible", incomplete)
    # Three crawls left it incomplete: it is crawled again when it is due, and a person is informed.
    asked, skipped = requested()
    assert asked == []
    assert "still incomplete after 3 crawls" in str(skipped) and str(skipped).endswith(": catalogue")
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    add(bbc.name, {PAUSED_TAG: until})
    for _ in range(25):
        add("soundbible", {})
    assert "paused until" in str(requested()[1])
