"""What a `wavcaps run` that was killed leaves in its instance, and what the next one makes of it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from wavcaps_assets.lane.killed import LANE_TAG, lane_of

POOL = "language_model"


@dg.op(pool=POOL)
def ask() -> None:
    pass


@dg.job
def captions() -> None:
    ask()


def started(instance: dg.DagsterInstance, owner: str) -> str:
    """A run that has started and holds a slot of the pool, as when its process is killed in the step."""
    run = instance.create_run_for_job(captions, tags={LANE_TAG: owner}, status=dg.DagsterRunStatus.STARTED)
    instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "ask")
    return run.run_id


def test_killed_runs_end_and_free_their_pools_and_others_go_on() -> None:
    with dg.instance_for_test() as instance:
        instance.event_log_storage.set_concurrency_slots(POOL, 2)
        with lane_of(instance) as alive:
            running = started(instance, alive)
            killed = started(instance, "0123456789abcdef")
            strange = started(instance, "../../elsewhere")
            info = instance.event_log_storage.get_concurrency_info(POOL)
            assert info.active_run_ids == {running, killed}
            with lane_of(instance):
                pass
            statuses = {
                name: instance.get_run_by_id(run_id).status  # type: ignore[union-attr]
                for name, run_id in {"running": running, "killed": killed, "strange": strange}.items()
            }
            info = instance.event_log_storage.get_concurrency_info(POOL)
        assert statuses == {
            "running": dg.DagsterRunStatus.STARTED,
            "killed": dg.DagsterRunStatus.FAILURE,
            "strange": dg.DagsterRunStatus.STARTED,
        }
        assert killed not in info.active_run_ids
        assert not list(Path(instance.root_directory).glob(".lane-*"))


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
