"""A good table is replaced by a nearly empty one only if a person says so."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from tests.support.rows import raw_row
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import ALLOW_FEWER_ROWS, TableIOManager
from wavcaps_assets.store.storage import StoreError
from wavcaps_assets.tables import DROPPED, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import path_of
from wavcaps_assets.tables.stage import Stage, drop

KEY, MONTH = ["freesound", "raw_clips"], "2022-11"


def clips(count: int) -> pa.Table:
    return RAW_CLIPS.from_rows(raw_row(f"freesound-{number}") for number in range(count))


def materialize(folder: Path, outcome: pa.Table | Stage, tags: dict[str, str] | None = None) -> str:
    """The error of a run that writes a month's table; empty: it succeeded."""

    @dg.asset(key=KEY, partitions_def=dg.StaticPartitionsDefinition([MONTH]))
    def raw_clips() -> object:
        return outcome

    store = StoreResource(root=str(folder))
    result = dg.materialize(
        [raw_clips],
        partition_key=MONTH,
        resources={"io_manager": TableIOManager(store=store, smallest_share=0.5)},
        tags=tags,
        raise_on_error=False,
    )
    failed = [event.step_failure_data.error for event in result.get_step_failure_events()]
    return "" if result.success else str(failed[0])


def stored(folder: Path) -> int:
    return StoreResource(root=str(folder)).tables().read(KEY, [MONTH]).num_rows


def test_a_table_of_200_rows_is_not_replaced_by_none(tmp_path: Path) -> None:
    assert materialize(tmp_path, clips(200)) == ""
    gone = [drop(f"freesound-{number}", "freesound", "raw_clips", "gone", "") for number in range(200)]
    error = materialize(tmp_path, Stage(RAW_CLIPS.empty(), DROPPED.from_rows(gone)))
    assert "freesound/raw_clips, partition 2022-11 would go from 200 rows to 0" in error
    assert ALLOW_FEWER_ROWS in error
    assert stored(tmp_path) == 200
    assert "would go from 200 rows to 99" in materialize(tmp_path, clips(99))
    assert stored(tmp_path) == 200
    assert materialize(tmp_path, clips(100)) == ""
    assert stored(tmp_path) == 100


def test_a_person_can_say_that_the_loss_is_right(tmp_path: Path) -> None:
    assert materialize(tmp_path, clips(200)) == ""
    assert materialize(tmp_path, clips(3), {ALLOW_FEWER_ROWS: "yes"}) == ""
    assert stored(tmp_path) == 3


def test_a_small_table_may_change_by_much(tmp_path: Path) -> None:
    assert materialize(tmp_path, clips(19)) == ""
    assert materialize(tmp_path, clips(1)) == ""
    assert stored(tmp_path) == 1


@pytest.mark.parametrize("damaged", [b"", b"PAR1 of a full disk"])
def test_a_damaged_table_says_so_and_is_replaced(tmp_path: Path, damaged: bytes) -> None:
    assert materialize(tmp_path, clips(200)) == ""
    (tmp_path / path_of(KEY, MONTH)).write_bytes(damaged)
    with pytest.raises(StoreError, match=r"2022-11\.parquet is damaged .*: materialize its asset again"):
        stored(tmp_path)
    assert materialize(tmp_path, clips(200)) == ""
    assert stored(tmp_path) == 200
