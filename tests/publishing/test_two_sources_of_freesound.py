"""FreeSound's API and its data packs in one graph: each sound is published once, and counted by month."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tests.support.rows import manifest_row, raw_row
from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables import DROPPED, MANIFEST, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

API, PACKS = "freesound", "freesound_data_packs"
CAPTIONS = {"1": "A dog barks in a yard.", "2": "Rain falls on a tent.", "3": "A train passes by a station."}


def fill(tables: TableStore, source: str, partition: str, numbers: tuple[str, ...]) -> None:
    raw = [
        raw_row(f"{source}-{number}", source=source, created="2026-03-04T05:06:07", synthetic=number == "3")
        for number in numbers
    ]
    tables.write([source, "raw_clips"], partition, Stage(RAW_CLIPS.from_rows(raw), DROPPED.empty()))
    rows = [
        manifest_row(
            f"{source}-{number}",
            source=source,
            source_id=number,
            caption=CAPTIONS[number],
            text=CAPTIONS[number],
        )
        for number in numbers
    ]
    tables.write(["manifest"], source, Stage(MANIFEST.from_rows(rows), DROPPED.empty()))


@pytest.mark.slow
def test_each_sound_is_published_once_and_ai_made_ones_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_FREESOUND_DATA_PACKS__PATH", str(tmp_path / "packs"))
    definitions = build(Settings())
    partition = next(source.partitions()[0] for source in all_sources(Settings()) if source.name == PACKS)
    tables = TableStore(open_store(Settings().store))
    fill(tables, API, "2022-09", ("1", "2"))
    fill(tables, PACKS, partition, ("2", "3"))
    for other in ("bbc_sound_effects", "soundbible", "audioset_sl"):
        tables.write(["manifest"], other, Stage(MANIFEST.empty(), DROPPED.empty()))
    job = definitions.resolve_implicit_global_asset_job_def()
    chosen = [dg.AssetKey(["wavcaps"]), dg.AssetKey(["analysis", "synthetic_sounds"])]
    with dg.instance_for_test() as instance:
        ran = job.execute_in_process(instance=instance, asset_selection=chosen)
    assert ran.success
    checks = {check.check_name: check for check in ran.get_asset_check_evaluations()}
    assert checks["nothing_lost"].passed
    assert "4 clips in, 3 kept, 1 dropped with a reason" in (checks["nothing_lost"].description or "")
    published = tables.read_stage(["wavcaps"])
    assert published.kept.column("clip_id").to_pylist() == ["freesound-1", "freesound-2", f"{PACKS}-3"]
    assert published.dropped.column("detail").to_pylist() == [
        "the same sound as freesound-2, which is published"
    ]
    months = tables.read(["analysis", "synthetic_sounds"]).to_pylist()
    assert [(row["source"], row["month"], row["share"]) for row in months] == [
        (API, "2026-03", 0.0),
        (PACKS, "2026-03", 0.5),
    ]
