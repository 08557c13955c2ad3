"""What a `wavcaps run` that was killed leaves in its instance, and what the next one makes of it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from wavcaps_assets.lane.killed import HOME, LANE_TAG, lane_of

POOL = "language_model"


@dg.op(pool=POOL)
def ask() -> None:
    pass


@dg.job
def captions() -> None:
    ask()


def started(instance: dg.DagsterInstance, owner: str, parent: str | None = None) -> str:
    """A run that has started and holds a slot of the pool, as when its process is killed in the step."""
    run = instance.create_run_for_job(
        captions,
        tags={LANE_TAG: owner},
        status=dg.DagsterRunStatus.STARTED,
        parent_run_id=parent,
        root_run_id=parent,
    )
    instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "ask")
    return run.run_id


def test_killed_runs_end_and_free_their_pools_and_others_go_on() -> None:
    with dg.instance_for_test() as instance:
        instance.event_log_storage.set_concurrency_slots(POOL, 3)
        with lane_of(instance) as alive:
            running = started(instance, alive)
            killed = started(instance, "0123456789abcdef")
            again = started(instance, "0123456789abcdef", killed)
            strange = started(instance, "../../elsewhere")
            info = instance.event_log_storage.get_concurrency_info(POOL)
            assert info.active_run_ids == {running, killed, again}
            with lane_of(instance):
                pass
            statuses = {
                name: instance.get_run_by_id(run_id).status  # type: ignore[union-attr]
                for name, run_id in {
                    "running": running,
                    "killed": killed,
                    "again": again,
                    "strange": strange,
                }.items()
            }
            info = instance.event_log_storage.get_concurrency_info(POOL)
        assert statuses == {
            "running": dg.DagsterRunStatus.STARTED,
            "killed": dg.DagsterRunStatus.FAILURE,
            "again": dg.DagsterRunStatus.STARTED,
            "strange": dg.DagsterRunStatus.STARTED,
        }
        assert killed not in info.active_run_ids
        assert [path.name for path in Path(instance.root_directory).glob(".lane-*")] == [HOME]


def test_a_run_of_another_machine_with_the_same_database_goes_on(tmp_path: Path) -> None:
    shared = {"storage": {"sqlite": {"base_dir": str(tmp_path / "shared")}}}
    homes = [tmp_path / name for name in ("one", "other")]
    for home in homes:
        home.mkdir()
    with (
        dg.instance_for_test(shared, temp_dir=str(homes[0])) as one,
        dg.instance_for_test(shared, temp_dir=str(homes[1]), set_dagster_home=False) as other,
    ):
        with lane_of(one) as alive:
            running = started(one, alive)
            with lane_of(other):
                run = one.get_run_by_id(running)
        assert run is not None and run.status is dg.DagsterRunStatus.STARTED
        # On its own machine it is known to be gone now.
        with lane_of(one):
            run = one.get_run_by_id(running)
        assert run is not None and run.status is dg.DagsterRunStatus.FAILURE


def test_a_run_that_ended_in_its_step_keeps_no_pool() -> None:
    """As when its step is interrupted: the run fails, and its slot stays taken."""
    with dg.instance_for_test() as instance:
        instance.event_log_storage.set_concurrency_slots(POOL, 1)
        ended = started(instance, "0123456789abcdef")
        instance.report_run_failed(instance.get_run_by_id(ended))  # type: ignore[arg-type]
        assert instance.event_log_storage.get_concurrency_info(POOL).active_run_ids == {ended}
        with lane_of(instance) as alive:
            running = started(instance, alive)
            assert instance.event_log_storage.get_concurrency_info(POOL).active_run_ids == {running}
