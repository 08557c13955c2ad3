"""The assets `export/<format>`, as the asset graph and the job `export_all` run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.exports.sets import publish
from wavcaps_assets.definitions import build
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore

JOB = "export_all"


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(f"export__{name}")
    return {key: value.value for key, value in event.metadata.items()}


@pytest.mark.slow
def test_the_job_exports_every_format_and_writes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    store = Store(tmp_path / "store")
    job = build(Settings()).resolve_job_def(JOB)

    def run(**webdataset: object) -> dg.ExecuteInProcessResult:
        config = {"ops": {"export__webdataset": {"config": webdataset}}}
        return job.execute_in_process(run_config=config, raise_on_error=False)

    nothing = run()
    failures = [event.step_failure_data.error for event in nothing.get_step_failure_events()]
    assert len(failures) == len(all_formats())
    assert all("materialize wavcaps" in str(failure) for failure in failures)

    first = publish(store, [{"clip_id": f"freesound-{number}"} for number in range(3)])
    second = publish(store, [{"clip_id": f"freesound-{number}"} for number in range(4)])
    store.remove(second.table.column("audio_path")[3].as_py())
    result = run(shard_mb=20)
    assert result.success
    for name in all_formats():
        about = metadata_of(result, name)
        assert about["version"] == second.version.name and about["written now"] is True
        assert about["folder"] == str(store.path(f"exports/{second.version.name}/{name}"))
    about = metadata_of(result, "webdataset")
    assert (about["clips"], about["left out (clips)"], about["dropped"]) == (3, 1, 1)
    assert "freesound-3: there is no file" in about["dropped by reason"]
    (row,) = TableStore(store).read(["export", "webdataset"], [WHOLE]).to_pylist()
    assert (row["set_version"], row["clips"], row["files"]) == (second.version.name, 3, 3)
    assert row["settings"] == '{"check_samples": false, "shard_mb": 20}'

    again = run(shard_mb=20, version="v1")
    assert metadata_of(again, "webdataset")["version"] == first.version.name
    assert metadata_of(again, "duckdb_file")["written now"] is False
