"""Old runs are removed, and the asset catalogue does not notice."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.instance.ref import InstanceRef

from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.old_runs import find_old_runs, remove_old_runs, remove_run

pytestmark = pytest.mark.slow

MONTHS = dg.StaticPartitionsDefinition(["2022-10", "2022-11"])
NEXT_YEAR = utc_now() + timedelta(days=365)


@dg.asset(partitions_def=MONTHS)
def monthly(context: dg.AssetExecutionContext) -> None:
    context.log.info("a line of the log")


@dg.asset(deps=[monthly])
def whole() -> None: ...


@dg.asset_check(asset=whole)
def is_good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset
def fails() -> None:
    raise ValueError


@dg.op
def needs_a_retry(context: dg.OpExecutionContext) -> None:
    if context.run.parent_run_id is None:
        raise ValueError
    context.log_event(dg.AssetMaterialization("made"))


@dg.job(executor_def=dg.in_process_executor)
def at_the_second_time() -> None:
    needs_a_retry()


def run(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, month: str | None = None) -> str:
    parts = [asset, is_good] if asset is whole else [asset]
    return dg.materialize(
        [*parts, *([dg.AssetSpec(monthly.key, partitions_def=MONTHS)] if asset is whole else [])],
        instance=instance,
        partition_key=month,
        raise_on_error=False,
    ).run_id


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    """With SQLite files, as `make ui` has it."""
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path)))


def test_a_run_that_has_a_newest_materialization_stays(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    superseded = [run(instance, monthly, "2022-10"), run(instance, monthly, "2022-10"), run(instance, whole)]
    failed = run(instance, fails)
    needed = [run(instance, monthly, "2022-10"), run(instance, monthly, "2022-11"), run(instance, whole)]
    found = find_old_runs(instance, NEXT_YEAR)
    assert [one.run_id for one in found.removable] == [*superseded, failed]
    assert found.needed == len(needed)
    shards = tmp_path / "history" / "runs"
    assert (shards / f"{failed}.db").exists()

    for one in found.removable:
        remove_run(instance, one)
    assert {one.run_id for one in instance.get_runs()} == set(needed)
    assert not any((shards / f"{one}.db").exists() for one in [*superseded, failed])
    assert not any((tmp_path / "storage" / one).exists() for one in [*superseded, failed])
    # What the UI shows: no partition is missing, the newest materializations and the check are there.
    assert instance.get_materialized_partitions(monthly.key) == {"2022-10", "2022-11"}
    newest = instance.get_latest_materialization_event(whole.key)
    assert newest is not None and newest.run_id == needed[-1]
    (check,) = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [is_good.check_key]
    ).values()
    assert check.status.value == "SUCCEEDED"
    assert find_old_runs(instance, NEXT_YEAR).removable == []


def test_the_first_run_of_a_retry_that_is_needed_stays(instance: dg.DagsterInstance) -> None:
    other = run(instance, fails)
    job = dg.reconstructable(at_the_second_time)
    with dg.execute_job(job, instance=instance, raise_on_error=False) as failed:
        first = failed.run_id
    with dg.execute_job(
        job, instance=instance, reexecution_options=dg.ReexecutionOptions(parent_run_id=first)
    ) as retry:
        assert retry.success
    found = find_old_runs(instance, NEXT_YEAR)
    assert [one.run_id for one in found.removable] == [other]
    for one in found.removable:
        remove_run(instance, one)
    group = instance.get_run_group(retry.run_id)
    assert group is not None and group[0] == first


def test_the_runs_of_a_backfill_stay_until_it_has_ended(instance: dg.DagsterInstance) -> None:
    tags = {"dagster/backfill": "months"}
    failed = dg.materialize([fails], instance=instance, tags=tags, raise_on_error=False).run_id
    backfill = PartitionBackfill(
        "months",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=0.0,
        asset_selection=[fails.key],
    )
    instance.add_backfill(backfill)
    assert find_old_runs(instance, NEXT_YEAR).removable == []
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_FAILED))
    assert [one.run_id for one in find_old_runs(instance, NEXT_YEAR).removable] == [failed]


def test_recent_runs_stay(instance: dg.DagsterInstance) -> None:
    run(instance, fails)
    assert find_old_runs(instance, utc_now() - timedelta(minutes=1)).removable == []


def test_the_job_removes_nothing_by_default(instance: dg.DagsterInstance) -> None:
    old = run(instance, fails)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wavcaps_assets.defs.old_runs.utc_now", lambda: NEXT_YEAR)
        assert remove_old_runs.execute_in_process(instance=instance).success
        assert instance.get_run_by_id(old) is not None
        config = {"ops": {"remove_runs": {"config": {"dry_run": False}}}}
        assert remove_old_runs.execute_in_process(instance=instance, run_config=config).success
    assert instance.get_run_by_id(old) is None
