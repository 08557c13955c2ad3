"""What docs/own-sounds.md tells a person to type is run, word for word, in a home of its own."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from tests.lane.own_sounds import OwnSounds, noises
from tests.support.paths import ROOT
from wavcaps_assets.filtering import FilterSettings

PAGE = (ROOT / "docs" / "own-sounds.md").read_text(encoding="utf-8")
# It runs until Ctrl-C.
SERVER = "make ui"
# Clips with one text: more than the frequency filter allows, and fewer than the quality check.
SHARED = 6


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's own list, whose files are there."""
    sounds = tmp_path / "mine"
    (text,) = blocks("csv")
    for number, row in enumerate(csv.DictReader(text.splitlines())):
        path = sounds / row["file"]
        path.parent.mkdir(parents=True)
        soundfile.write(path, np.random.default_rng(number).normal(scale=0.1, size=64_000), 32_000)
    (sounds / "clips.csv").write_text(text, encoding="utf-8")
    return sounds


def typed(folder: Path, *commands: str) -> subprocess.CompletedProcess[str]:
    """What a person types in the project's folder, with folders of the test in place of the page's."""
    script = "\n".join(commands)
    for theirs, mine in (
        ("/data/mine", str(folder)),
        ("$PWD/dagster_home", str(folder.parent / "home")),
        (".venv/bin/", f"{Path(sys.executable).parent}/"),
    ):
        assert theirs in PAGE
        script = script.replace(theirs, mine)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WAVCAPS_")}
    return subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_settings_make_the_folder_the_only_source(folder: Path) -> None:
    (settings,) = (block for block in blocks("console") if "export" in block)
    done = typed(folder, settings)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^local_folder +takes part \(partition catalogue\)$", done.stdout, re.MULTILINE)
    assert done.stdout.count("takes part") == 1


def test_the_steps_settings_have_the_fields_that_the_page_names() -> None:
    captions, filtered = (yaml.safe_load(block)["ops"] for block in blocks("yaml"))
    assert captions == {"llm_captions": {"config": {"method": "rules"}}}
    own = FilterSettings(**filtered["filtered_clips"]["config"])
    assert own.frequency_filtered_sources == ["local_folder"]


@pytest.mark.soak
def test_every_command_of_the_page_runs(folder: Path) -> None:
    """With more clips than the page's own, so that each part of the split has some."""
    rows = list(csv.DictReader((folder / "clips.csv").read_text(encoding="utf-8").splitlines()))
    own = OwnSounds(folder)
    for clip in islice(noises(), 40):
        own.put(clip)
    with (folder / "clips.csv").open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), restval="")
        for number, clip in enumerate(own.clips.values()):
            text = "A dog barks at night." if number < SHARED else clip.description
            writer.writerow({"file": clip.file, "description": text})
    commands = [block for block in blocks("console") if block.strip() != SERVER]
    done = typed(folder, *commands)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (folder.parent / "home" / "store" / "report.html").is_file()
    assert "local_folder-dogs-barking-" in done.stdout
    for number, block in enumerate(blocks("yaml")):
        settings = folder.parent / f"settings-{number}.yaml"
        settings.write_text(block)
        (exports,) = (block for block in commands if "export" in block)
        again = typed(folder, exports, f".venv/bin/wavcaps run --until captions --config {settings}")
        assert again.returncode == 0, f"{again.stdout}\n{again.stderr}"
    assert f"frequent_description {SHARED}" in again.stdout
