"""The scripts of examples/, on a small store of tones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.llm.scripted_model import KEY, MODEL, scripted
from tests.support.paths import ROOT
from tests.support.rows import manifest_row
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST, TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore

RATE = 32_000
CAPTIONS = {"A low tone hums.": 150, "A high whistle sounds.": 5_000}
SPLITS = ["train", "train", "train", "train", "train", "train", "validation", "test"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    time_s = np.arange(RATE) / RATE
    manifest, training = [], []
    for number, split in enumerate(SPLITS):
        caption, hertz = list(CAPTIONS.items())[number % 2]
        row = manifest_row(f"freesound-{number}", caption=caption, duration_s=1.0)
        path = folder / row["audio_path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.sin(2 * np.pi * (hertz + number) * time_s) / 2, RATE, subtype="PCM_16")
        manifest.append(row)
        shared = {name: row[name] for name in ("clip_id", "source", "caption", "audio_path", "duration_s")}
        training.append({**shared, "other_captions": [], "recording": str(number), "split": split})
    tables = TableStore(Store(folder))
    tables.write(["wavcaps"], None, MANIFEST.from_rows(manifest))
    tables.write(["training_manifest"], None, TRAINING_MANIFEST.from_rows(training))
    return folder


def run(script: str, *arguments: str, folder: Path, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **variables}
    command = [sys.executable, str(ROOT / "examples" / script), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_reading_a_manifest(store: Path, tmp_path: Path) -> None:
    output = run("read_manifest.py", str(store), "2", folder=tmp_path)
    assert output.startswith("8 clips, 0.0 hours")
    assert "freesound-1: A high whistle sounds." in output
    assert output.count("1.0 s at 32000 Hz, peak 0.50") == 2


@pytest.mark.slow
def test_captioning_texts_once(tmp_path: Path) -> None:
    with scripted(lambda body: f"Heard: {body['messages'][-1]['content'][:4]}.") as endpoint:
        model = {
            "WAVCAPS_LLM__BASE_URL": f"{endpoint.root}/v1",
            "WAVCAPS_LLM__MODEL": MODEL,
            "WAVCAPS_LLM__API_KEY": KEY,
        }
        output = run("caption_texts.py", str(tmp_path / "store"), folder=tmp_path, **model)
        assert output.count("-> Heard:") == len(endpoint.requests) == 10
        assert "-> Heard: Zoom." in output
        again = run("caption_texts.py", str(tmp_path / "store"), folder=tmp_path, **model)
        assert again.count("-> Heard:") == len(endpoint.requests) == 10


@pytest.mark.slow
def test_training_and_searching(store: Path, tmp_path: Path) -> None:
    output = run("train_and_search.py", str(store), "a whistle", "2", folder=tmp_path)
    found = [line.split()[1].rstrip(":") for line in output.splitlines()]
    assert len(found) == len(set(found)) == 5
    assert set(found) <= {f"freesound-{number}" for number in range(len(SPLITS))}
    similarities = [float(line.split()[0]) for line in output.splitlines()]
    assert similarities == sorted(similarities, reverse=True)
    # The second search reads the model that the first one trained.
    weights = tmp_path / "search_model" / "weights.safetensors"
    written = weights.stat().st_mtime_ns
    run("train_and_search.py", str(store), "a whistle", "2", folder=tmp_path)
    assert weights.stat().st_mtime_ns == written
