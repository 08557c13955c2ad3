"""Your own data sets are read from their lists, and what is missing or of another format is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.own_sets import FIVE, write_audiocaps_and_clotho
from tests.support.paths import DATA
from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.compose import compose
from wavcaps_assets.benchmark_sets.evidence import compared, overlaps_by_id
from wavcaps_assets.benchmark_sets.exclusion_lists import ALL, LISTED, read_listed
from wavcaps_assets.benchmark_sets.folders import OwnSet
from wavcaps_assets.benchmark_sets.inputs import SetInputs
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.benchmark_sets.sets import SETS
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import BENCHMARK_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_audiocaps_and_clotho(tmp_path)
    return tmp_path


def test_a_set_of_ones_own_is_read_with_all_its_captions(store: Path) -> None:
    made = compose(SETS["audiocaps_clotho"], SetInputs(TableStore(Store(store)))).stage.kept.to_pylist()
    assert {(row["source"], row["split"]) for row in made} == {
        (name, split) for name in ("audiocaps", "clotho") for split in ("train", "validation", "test")
    }
    assert len(made) == 12
    assert all((row["caption"], row["other_captions"]) == (FIVE[0], FIVE[1:]) for row in made)
    assert {row["duration_s"] for row in made} == {1.0}
    assert all((store / row["audio_path"]).is_file() for row in made)


def test_clips_whose_audio_is_lost_are_dropped_with_a_reason(store: Path) -> None:
    lost = next((store / "sets" / "clotho" / "train").iterdir())
    lost.unlink()
    stage = OwnSet(Store(store), "clotho").read("train")
    assert stage.kept.num_rows == 1
    (row,) = stage.dropped.to_pylist()
    assert (row["clip_id"], row["reason"]) == (f"clotho-{lost.name}", "no_audio")
    shutil.rmtree(lost.parent)
    with pytest.raises(
        SetError, match=r"lists 2 train clips, but none of their audio files is in .*sets/clotho/train"
    ):
        OwnSet(Store(store), "clotho").read("train")


def test_a_file_is_found_whose_name_begins_with_a_space(store: Path) -> None:
    """As ` e ieio ieai.wav` of Clotho's validation list; some tools save it without the space."""
    folder = store / "sets" / "clotho"
    audio = next((folder / "val").iterdir())
    text = (folder / "val.csv").read_text(encoding="utf-8")
    for name in (" e ieio ieai.wav", "e ieio ieai.wav"):
        (folder / "val.csv").write_text(text.replace(audio.name, " e ieio ieai.wav"), encoding="utf-8")
        moved = audio.rename(audio.with_name(name))
        kept = OwnSet(Store(store), "clotho").read("validation").kept
        assert f"sets/clotho/val/{name}" in kept.column("audio_path").to_pylist()
        moved.rename(audio)


def test_what_is_not_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"'audiocaps' has no train split here: put train\.csv"):
        compose(SETS["audiocaps"], SetInputs(TableStore(Store(tmp_path))))
    with pytest.raises(SetError, match=r"put the released blacklist_exclude_all_ac\.json there"):
        read_listed(Store(tmp_path), [ALL])


@pytest.mark.parametrize("text", ["", "file_name\nx.wav\n", "caption\nA dog.\n"])
def test_a_list_without_files_or_captions_is_an_error(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "sets" / "clotho"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text(text)
    with pytest.raises(SetError):
        OwnSet(Store(tmp_path), "clotho").read("train")


def test_the_released_lists_exclude_what_they_name(tmp_path: Path) -> None:
    path = DATA / "wavcaps" / f"{ALL}.json"
    if not path.exists():
        pytest.skip("the released exclusion lists are not at hand")
    (tmp_path / "sets").mkdir()
    shutil.copy(path, tmp_path / "sets")
    listed = read_listed(Store(tmp_path), [ALL])
    # As counted independently: 5,905 different FreeSound ids, and 50,725 videos.
    assert sum(key.startswith("FreeSound") for key in listed["key"].to_pylist()) == 5_905
    assert len(listed) == 5_905 + 50_725
    names = json.loads(path.read_text())
    video, sound = names["AudioSet"][0].removeprefix("Y").removesuffix(".wav"), names["FreeSound"][0]
    train = {
        f"audioset_sl-{video}_30000": True,
        f"freesound-{sound}": True,
        # The same sounds, from FreeSound's data packs and from LAION.
        f"freesound_data_packs-{sound}": True,
        f"laion-{sound}.flac": True,
        "bbc_sound_effects-1": False,
        # A benchmark's own training clips.
        f"audiocaps-Y{video}.wav": False,
    }
    clips = pa.table({"clip_id": list(train), "source": [clip.partition("-")[0] for clip in train]})
    found = overlaps_by_id(compared(clips), BENCHMARK_CLIPS.empty(), listed)
    assert set(found["clip_id"].to_pylist()) == {clip for clip, there in train.items() if there}


@pytest.mark.parametrize(
    ("file", "same"),
    [
        ("YYtF4-3abcde.wav", True),
        ("YtF4-3abcde.wav", True),
        ("YtF4-3abcde_30.wav", True),
        ("YYtF4-3abcde", True),
        ("YXtF4-3abcde.wav", False),
    ],
)
def test_a_video_is_found_however_a_download_tool_names_it(tmp_path: Path, file: str, same: bool) -> None:
    clips = pa.table({"clip_id": ["audioset_sl-YtF4-3abcde_30000"], "source": ["audioset_sl"]})
    (tmp_path / "sets" / "audiocaps").mkdir(parents=True)
    (tmp_path / "sets" / "audiocaps" / "test.csv").write_text(f"file_name,caption\n{file},A dog.\n")
    test = benchmark_named("audiocaps").read(Store(tmp_path)).clips
    found = overlaps_by_id(compared(clips), test, LISTED.empty_table()).to_pylist()
    assert [row["benchmark_clip_id"] for row in found] == ([f"audiocaps-{file}"] if same else [])
