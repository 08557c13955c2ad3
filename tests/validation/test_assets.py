"""The assets and the command, from the set to the scores."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from tests.support.rows import manifest_row
from tests.validation.studies import answers_file, tone
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.defs.validation import validation_assets
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.validation.command import rate
from wavcaps_assets.validation.study import Study
from wavcaps_assets.validation.study_files import WrittenStudy

WAVCAPS = dg.AssetSpec("wavcaps")


@pytest.fixture
def store(tmp_path: Path) -> StoreResource:
    resource = StoreResource(root=str(tmp_path))
    rows = [manifest_row(f"freesound-{number}", duration_s=0.4) for number in range(3)]
    for row in rows:
        tone(resource.tables().store, row["audio_path"], 440)
    resource.tables().write(["wavcaps"], None, MANIFEST.from_rows(rows))
    return resource


@pytest.mark.slow
def test_drawn_rated_and_scored_by_the_assets(store: StoreResource) -> None:
    given = {"store": store, "io_manager": TableIOManager(store=store)}
    study, *rest = validation_assets()
    drawn = dg.materialize([study, WAVCAPS], resources=given, selection=[study])
    metadata = drawn.asset_materializations_for_node("validation_study")[0].metadata
    page = Path(str(metadata["page"].value))
    assert page.name == "page.html" and page.is_file()
    assert metadata["clips"].value == 3
    key = store.tables().read(["validation_study"]).to_pylist()
    answers = [{"item": row["item_id"], "ratings": {row["caption_id"]: 4}} for row in key]
    table = store.tables().read(["validation_study"])
    written = WrittenStudy(Study(key[0]["study_id"], table, {}, {}, {}), "", 0, None)
    content = answers_file(written, "Anna", answers)
    store.tables().store.write_bytes("validation/ratings/anna.json", content)
    scored = dg.materialize([study, *rest, WAVCAPS], resources=given, selection=rest)
    metadata = scored.asset_materializations_for_node("validation_scores")[0].metadata
    assert "data:image/png" in str(metadata["figure"].value)
    found = {row["measure"]: row for row in store.tables().read(["validation_scores"]).to_pylist()}
    assert (found["mean_score"]["value"], found["mean_score"]["answers"]) == (4.0, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "upstream"),
    [("validation_scores", "validation_ratings"), ("validation_ratings", "validation_study")],
)
def test_nothing_is_scored_before_it_was_rated(tmp_path: Path, name: str, upstream: str) -> None:
    empty = StoreResource(root=str(tmp_path))
    given = {"store": empty, "io_manager": TableIOManager(store=empty)}
    assets = validation_assets()
    (wanted,) = (asset for asset in assets if asset.key.path == [name])
    ran = dg.materialize([*assets, WAVCAPS], resources=given, selection=[wanted], raise_on_error=False)
    assert not ran.success
    (failure,) = (event for event in ran.all_events if event.is_step_failure)
    error = failure.step_failure_data.error
    assert error is not None and error.cause is not None
    assert f"materialize {upstream} first" in error.cause.message
    assert not empty.tables().exists([name], None)


def test_the_command_draws_and_says_what_is_missing(
    store: StoreResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_STORE", store.root)
    drawn = CliRunner().invoke(rate, ["draw", "--clips", "2"])
    assert drawn.exit_code == 0, drawn.output
    assert "2 clips" in drawn.output and "page.html" in drawn.output
    scored = CliRunner().invoke(rate, ["score"])
    assert scored.exit_code == 1
    assert "is empty" in scored.output
    assert "clips" in CliRunner().invoke(rate, ["draw", "--clips", "0"]).output
