"""The import in Dagster: from the launchpad to a published version, and a second one with other captions."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.importing.released import flac, write_json
from tests.support.rows import manifest_row
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.checks.assessment import UnfitSet, require_quality
from wavcaps_assets.definitions import build
from wavcaps_assets.defs.importing import imported_set
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.publishing.compare_versions import compare_versions
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.imported import imported_sets
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables import DROPPED, LLM_CAPTIONS, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.set_versions import SetVersions
from wavcaps_assets.tables.stage import Stage

RELEASED = {"1": "A dog is barking.", "2": "Rain can be heard on a roof.", "3": "A bell rings."}
TEXTS = {"1": "A dog barks.", "2": "Rain falls on a roof.", "3": "A bell rings twice."}
LANE = ("filtered_clips", "llm_captions", "captions", "manifest")


@pytest.mark.slow
def test_the_asset_makes_the_sources_of_a_set(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_STATE", str(state))
    write_json(tmp_path / "set/fsd_final.json", [{"id": "1", "caption": "One."}])
    store = StoreResource(root=str(tmp_path / "store"))
    resources = {"store": store, "io_manager": TableIOManager(store=store)}
    config = {
        "ops": {"imported_set": {"config": {"path": str(tmp_path / "set"), "rename": {"freesound": "copy"}}}}
    }
    with dg.instance_for_test() as instance:
        assert dg.materialize(
            [imported_set], resources=resources, run_config=config, instance=instance
        ).success
        empty = dg.materialize(
            [imported_set], resources=resources, instance=instance, raise_on_error=False
        ).failure_data_for_node("imported_set")
    assert empty is not None and empty.error is not None and empty.error.cause is not None
    assert "set `path` to its folder" in empty.error.cause.message
    assert list(imported_sets(state)) == ["copy"]
    assert store.tables().read(["imported_set"]).to_pylist() == [
        {"source": "copy", "path": str(tmp_path / "set"), "clips": 1, "without_audio": 1, "repeated": 0}
    ]


@pytest.mark.slow
def test_the_wording_of_kept_captions_does_not_block(tables: TableStore) -> None:
    rows = [
        manifest_row(f"freesound-{number}", caption=f"A {what} can be heard.", text=f"A {what}")
        for number, what in enumerate(("dog", "bell", "train"))
    ]
    manifest = MANIFEST.from_rows(rows)
    for method, blocks in ((Method.MODEL, True), (Method.GIVEN, False)):
        settings = CaptioningSettings(method=method).stored
        stage = Stage(LLM_CAPTIONS.empty(), DROPPED.empty(), settings=settings)
        tables.write(["llm_captions"], "freesound", stage)
        with pytest.raises(UnfitSet, match="banned_words") if blocks else nullcontext():
            require_quality(tables, manifest, "run", "", ["freesound"])


@pytest.mark.soak
def test_the_launchpad_imports_a_set_and_another_method_makes_a_second_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("WAVCAPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("WAVCAPS_SOURCES", "live")
    folder = tmp_path / "WavCaps"
    rows = [{"id": key, "caption": RELEASED[key], "description": text} for key, text in TEXTS.items()]
    write_json(folder / "json_files/SoundBible/sb_final.json", rows)
    for number in ("1", "2"):
        (folder / f"{number}.flac").write_bytes(flac(int(number)))
    with dg.instance_for_test() as instance:

        def run(config: dict[str, Any], partition: str | None, *keys: str) -> None:
            ops = {key.replace("/", "__"): {"config": config} for key in keys if config}
            ran = job.execute_in_process(
                {"ops": ops} if ops else None,
                instance=instance,
                asset_selection=[dg.AssetKey(key.split("/")) for key in keys],
                partition_key=partition,
            )
            assert ran.success

        job = build(Settings()).resolve_implicit_global_asset_job_def()
        run({"path": str(folder)}, None, "imported_set")
        job = build(Settings()).resolve_implicit_global_asset_job_def()
        run({}, "imported", "soundbible/raw_clips", "soundbible/audio")
        run({}, "soundbible", *LANE)
        run({}, None, "wavcaps")
        versions = SetVersions(open_store(Settings().store))
        (first,) = versions.all()
        published = versions.read(first)
        # Released captions break the rules of stage 3, and are published as they came.
        assert dict(
            zip(*(published.column(name).to_pylist() for name in ("source_id", "caption")), strict=True)
        ) == {key: RELEASED[key] for key in ("1", "2")}
        assert published.column("model").to_pylist() == ["imported", "imported"]
        run({"method": "rules"}, "soundbible", "llm_captions")
        run({}, "soundbible", "captions", "manifest")
        run({}, None, "wavcaps")
        changes = compare_versions(versions, first, versions.find("v2")).to_pylist()
        captions = {
            row["clip_id"]: (row["before"], row["after"]) for row in changes if row["change"] == "recaptioned"
        }
        assert captions["soundbible-2"][0] == RELEASED["2"]
        assert captions["soundbible-2"][1] != RELEASED["2"]
