"""The extra copy as a person sets it: by the environment for all runs, and in the launchpad for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.audio.fetching import wav
from wavcaps_assets.defs import crawl
from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store

pytestmark = pytest.mark.slow


def crawled(config: dict[str, Any] | None = None) -> dict[str, list[str]]:
    """Runs the audio of the local folder; gives the audio files of the store, by folder."""
    settings = Settings()
    location = Location(settings, all_sources(settings))
    assets = [
        asset for asset in crawl.definitions(location).assets or () if isinstance(asset, dg.AssetsDefinition)
    ]
    assert dg.materialize(
        assets,
        selection=[dg.AssetKey(["local_folder", name]) for name in ("raw_clips", "audio")],
        partition_key="catalogue",
        resources=resources(settings),
        run_config={"ops": {"local_folder__audio": {"config": config or {}}}},
    ).success
    store = Store(settings.store)
    folders = [folder for folder in store.usage() if folder.startswith("audio")]
    return {folder: list(store.sizes(f"{folder}/local_folder/catalogue")) for folder in folders}


def test_by_the_environment_and_in_the_launchpad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "bark.wav").write_bytes(wav(0.3))
    (own / "clips.csv").write_text("file,description\nbark.wav,A dog barks.\n")
    monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", str(own))
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "local_folder")
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("WAVCAPS_STATE", str(tmp_path / "state"))
    flac = {"audio": ["local_folder-bark.flac"]}
    monkeypatch.setenv("WAVCAPS_EXTRA_COPY", "original")
    assert crawled({"extra_copy": "none"}) == flac
    original = {"audio_original": ["local_folder-bark.wav"]}
    assert crawled() == flac | original
    # The file is gone by now: the other copy is made from the original that is kept.
    (own / "bark.wav").unlink()
    copy = {"audio_flac_48000": ["local_folder-bark.flac"]}
    assert crawled({"extra_copy": "flac_48000"}) == flac | original | copy
