"""A step whose input was never materialized says so once. A retry would start a process to say it again."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import TableIOManager


def test_a_missing_table_is_not_retried(tmp_path: Path) -> None:
    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=3))
    def made_of_it(wavcaps: object) -> None:
        raise AssertionError(f"there is no table, and this got {wavcaps}")

    store = StoreResource(root=str(tmp_path))
    result = dg.materialize(
        [dg.AssetSpec("wavcaps"), made_of_it],
        selection=[made_of_it],
        resources={"io_manager": TableIOManager(store=store, smallest_share=0.5)},
        raise_on_error=False,
    )
    (failure,) = result.get_step_failure_events()
    assert "materialize wavcaps first" in str(failure.step_failure_data.error)
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
