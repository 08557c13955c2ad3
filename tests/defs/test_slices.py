"""The assets of the slices: what a person sets, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.rows import audio_row, manifest_row
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.slices import slice_asset
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.slices.uses import USES
from wavcaps_assets.tables import AUDIO, DROPPED, MANIFEST
from wavcaps_assets.tables.asset_tables import with_set_version
from wavcaps_assets.tables.stage import Stage

KEY = ["slice", "commercial"]


def publish(folder: Path, preferences: list[str]) -> None:
    tables = StoreResource(root=str(folder)).tables()
    rows = [
        manifest_row(f"freesound-{number}", gen_ai_preference=preference)
        for number, preference in enumerate(preferences)
    ]
    table = with_set_version(MANIFEST.from_rows(rows), "v1-1a2b3c4d")
    tables.write(["wavcaps"], None, Stage(table, DROPPED.empty()))


def materialize(folder: Path, **settings: Any) -> dg.ExecuteInProcessResult:
    store = StoreResource(root=str(folder))
    return dg.materialize(
        [slice_asset(USES["commercial"]), dg.AssetSpec("wavcaps")],
        resources={"store": store, "io_manager": TableIOManager(store=store, smallest_share=0.5)},
        run_config={"ops": {"slice__commercial": {"config": settings}}},
        raise_on_error=False,
    )


@pytest.mark.slow
def test_a_withdrawn_consent_empties_a_slice_however_many_clips_it_concerns(tmp_path: Path) -> None:
    publish(tmp_path, ["no-additional-preferences"] * 50)
    assert materialize(tmp_path).success
    publish(tmp_path, ["no-additional-preferences"] * 3 + ["no-gen-ai"] * 47)
    result = materialize(tmp_path)
    assert result.success
    tables = StoreResource(root=str(tmp_path)).tables()
    stage = tables.read_stage(KEY)
    assert (stage.kept.num_rows, stage.dropped.num_rows) == (3, 47)
    (made,) = result.asset_materializations_for_node("slice__commercial")
    assert (
        made.metadata["clips by class of licence"].value
        == "| | clips |\n| --- | --- |\n| public domain | 3 |"
    )
    credits = Path(str(made.metadata["attributions as text"].value)).read_text(encoding="utf-8")
    assert "slice commercial of v1-1a2b3c4d, 3 clips" in credits and "freesound-3" not in credits


@pytest.mark.slow
def test_an_empty_slice_fails_with_the_reasons_and_keeps_what_is_there(tmp_path: Path) -> None:
    publish(tmp_path, ["no-additional-preferences"])
    assert materialize(tmp_path).success
    publish(tmp_path, ["no-gen-ai"])
    result = materialize(tmp_path)
    (failure,) = result.get_step_failure_events()
    assert "none of 1 clips is in the slice for commercial use" in str(failure.step_failure_data.error)


@pytest.mark.slow
def test_the_quality_of_the_audio_is_read_from_its_table(tmp_path: Path) -> None:
    publish(tmp_path, ["no-additional-preferences"] * 2)
    rows = [audio_row("freesound-0", silence_share=0.9), audio_row("freesound-1", silence_share=0.1)]
    tables = StoreResource(root=str(tmp_path)).tables()
    tables.write(["freesound", "audio"], "2022-11", AUDIO.from_rows(rows))
    assert materialize(tmp_path, most_silence=0.5).success
    assert tables.read(KEY).column("clip_id").to_pylist() == ["freesound-1"]
