"""Exports as their readers read them: the released training code, webdataset, LAION's CLAP, DuckDB."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import soundfile

from tests.exports.sets import NOW, publish
from tests.support.paths import ROOT
from wavcaps_assets.exports.export import Export, export
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST

RELEASED = ROOT.parent / "shared" / "data" / "wavcaps" / "sb_final.json"
VIDEO = "-0-a_bcdefg"
PAGE = "https://freesound.org/people/ann/sounds/17/"
EVENTS = [
    {"onset_s": 0.0, "offset_s": 0.2, "label": "Dog"},
    {"onset_s": 0.1, "offset_s": 0.2, "label": "Bark"},
    {"onset_s": 0.3, "offset_s": 0.4, "label": "Dog"},
]
FURTHER = [
    {"text": "A dog.", "kind": "short", "model": "m", "prompt_version": "p"},
    {"text": "A dog barks twice in a yard.", "kind": "long", "model": "m", "prompt_version": "p"},
]
CLIPS: list[dict[str, Any]] = [
    {"clip_id": f"audioset_sl-{VIDEO}_30000", "source": "audioset_sl", "source_id": f"{VIDEO}_30000"},
    {"clip_id": "bbc_sound_effects-0706", "source": "bbc_sound_effects", "source_id": "0706"},
    {"clip_id": "freesound-17", "source_id": "17", "title": "Dog.wav", "author": "ann", "page_url": PAGE},
    {"clip_id": "freesound-18", "source_id": "18", "other_captions": FURTHER},
    {"clip_id": "freesound_data_packs-19", "source": "freesound_data_packs", "source_id": "19"},
    {"clip_id": "local_folder-mine", "source": "local_folder", "source_id": "mine"},
    {
        "clip_id": "soundbible-2215",
        "source": "soundbible",
        "source_id": "2215",
        "title": "Labrador Barking Dog",
        "author": "Daniel Simion",
        "page_url": "https://soundbible.com/2215-Labrador-Barking-Dog.html",
    },
]
CLIPS[0] |= {"events": EVENTS}
CLIPS[1] |= {"tags": ["Machines"], "text": "Rip saw."}


@pytest.fixture
def exported(tmp_path: Path) -> ExportedSet:
    return publish(Store(tmp_path / "store"), CLIPS)


def make(exported: ExportedSet, name: str, to: Path | None = None, **settings: Any) -> Export:
    fmt = all_formats()[name]
    return export(exported, fmt, fmt.settings(**settings), NOW, to)


def released_examples(files: list[str], excluded: dict[str, list[str]]) -> list[tuple[str, str, float]]:
    """What the released code trains on, by its rules: `audio`, a caption, `duration`."""
    examples = []
    for file in files:
        content = json.loads(Path(file).read_text())
        for item in content["data"]:
            if content["num_captions_per_audio"] == 1:
                names = ["FreeSound"] * ("FreeSound" in file) or ["AudioSet"] * ("AudioSet" in file)
                if any(item["id"] in excluded[name] for name in names):
                    continue
                examples.append((item["audio"], item["caption"], item["duration"]))
            else:
                for number in range(1, content["num_captions_per_audio"] + 1):
                    examples.append((item["audio"], item[f"caption_{number}"], item["duration"]))
    return examples


def test_the_released_training_code_reads_the_json(
    exported: ExportedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = make(exported, "wavcaps_json", tmp_path / "set")
    assert done.description.clips == len(CLIPS)
    # As a person starts the training: in the folder that the paths are relative to.
    monkeypatch.chdir(tmp_path / "set")
    files = [str(path) for path in sorted(Path("json_files").glob("*/*_final.json"))]
    assert files == [
        "json_files/AudioSet_SL/as_final.json",
        "json_files/BBC_Sound_Effects/bbc_final.json",
        "json_files/FreeSound/fsd_final.json",
        "json_files/SoundBible/sb_final.json",
        "json_files/local_folder/local_folder_final.json",
    ]
    examples = released_examples(files, {"FreeSound": [], "AudioSet": []})
    assert len(examples) == len(CLIPS)
    for audio, caption, duration in examples:
        samples, rate = soundfile.read(audio)
        assert (rate, len(samples) / rate, caption) == (32_000, duration, "A dog barks.")
    rows = {row["clip_id"]: row for row in exported.table.to_pylist()}
    samples, _ = soundfile.read("waveforms/FreeSound_flac/17.flac", dtype="int16")
    assert hashlib.sha256(samples.tobytes()).hexdigest() == rows["freesound-17"]["samples_sha256"]

    excluded = {"FreeSound": ["17", "19"], "AudioSet": [f"Y{VIDEO}.wav"]}
    assert len(released_examples(files, excluded)) == len(CLIPS) - 3


def test_a_path_that_misleads_the_released_code_is_named(
    exported: ExportedSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(exported, "wavcaps_json", tmp_path / "plain", audio_files="in_store")
    assert not caplog.messages
    make(exported, "wavcaps_json", tmp_path / "MyFreeSound", audio_files="in_store")
    assert "contains 'FreeSound', by which the released training code" in caplog.text


def test_further_captions_become_five(exported: ExportedSet) -> None:
    done = make(exported, "wavcaps_json", captions="five", audio_root="/data/WavCaps/")
    (freesound,) = (file.name for file in done.description.files if "fsd_final" in file.name)
    content = json.loads(done.store.read_bytes(f"{done.folder}/{freesound}"))
    assert content["num_captions_per_audio"] == 5
    eighteen = content["data"][1]
    assert [eighteen[f"caption_{number}"] for number in range(1, 6)] == [
        *("A dog barks.", "A dog.", "A dog barks twice in a yard.", "A dog barks.", "A dog."),
    ]
    assert "caption" not in eighteen
    assert eighteen["audio"] == "/data/WavCaps/waveforms/FreeSound_flac/18.flac"
    assert done.description.notes == {"captions that repeat another of their clip, to make five": 26}


def test_audio_can_stay_in_the_store(exported: ExportedSet, tmp_path: Path) -> None:
    done = make(exported, "wavcaps_json", tmp_path / "set", audio_files="in_store")
    assert {file.name.split("/")[0] for file in done.description.files} == {"json_files", "SHA256SUMS"}
    files = [str(path) for path in (tmp_path / "set").glob("json_files/*/*.json")]
    examples = released_examples(files, {"FreeSound": [], "AudioSet": []})
    assert len(examples) == done.description.clips == len(CLIPS)
    assert all(soundfile.info(audio).samplerate == 32_000 for audio, _, _ in examples)


def test_each_source_has_the_keys_of_the_release_in_their_order(exported: ExportedSet) -> None:
    # The keys of the four released files, as https://huggingface.co/datasets/cvssp/WavCaps has them.
    keys = {
        "as": "id caption audio duration",
        "bbc": "description category caption id duration audio download_link",
        "fsd": "id file_name href tags description author duration download_link caption audio",
        "sb": "title description author href caption id duration audio download_link",
    }
    done = make(exported, "wavcaps_json")
    for file in done.description.files:
        name = file.name.rpartition("/")[2].removesuffix("_final.json")
        if name in keys:
            content = json.loads(done.store.read_bytes(f"{done.folder}/{file.name}"))
            assert list(content) == ["num_captions_per_audio", "data"]
            for item in content["data"]:
                assert " ".join(item) == keys[name]
                assert isinstance(item["id"], str)
            if name == "as":
                assert content["data"][0]["id"] == f"Y{VIDEO}.wav"
                assert content["data"][0]["audio"] == f"waveforms/AudioSet_SL_flac/Y{VIDEO}.flac"
            if name == "bbc":
                assert content["data"][0]["category"] == "['Machines']"
            if name == "fsd":
                assert content["data"][0]["href"] == "/people/ann/sounds/17/"


@pytest.mark.skipif(not RELEASED.exists(), reason=f"needs the released metadata, {RELEASED.name}")
def test_the_released_soundbible_file_is_what_we_write(tmp_path: Path) -> None:
    released = json.loads(RELEASED.read_text())
    some = released["data"][:40]
    root = "http://soundbible.com"
    clips = [
        {
            "clip_id": f"soundbible-{item['id']}",
            "source": "soundbible",
            "source_id": item["id"],
            "caption": item["caption"],
            "text": item["description"],
            "title": item["title"],
            "author": item["author"],
            "page_url": f"{root}/{item['href']}",
            "duration_s": float(item["duration"]),
        }
        for item in some
    ]
    done = make(publish(Store(tmp_path), clips, seconds=0.02), "wavcaps_json")
    ours = json.loads(done.store.read_bytes(f"{done.folder}/json_files/SoundBible/sb_final.json"))
    # The release has the word `wav_path` in place of a path.
    expected = [item | {"audio": f"waveforms/SoundBible_flac/{item['id']}.flac"} for item in some]
    assert ours == {
        "num_captions_per_audio": released["num_captions_per_audio"],
        "data": expected,
    }
    assert list(ours["data"][0]) == list(some[0])


@pytest.mark.slow
def test_webdataset_reads_the_tars(exported: ExportedSet, tmp_path: Path) -> None:
    import webdataset

    make(exported, "webdataset", tmp_path / "tars")
    tars = sorted(str(path) for path in (tmp_path / "tars").glob("*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == [row["clip_id"] for row in CLIPS]
    for sample, row in zip(samples, exported.table.to_pylist(), strict=True):
        audio, rate = soundfile.read(io.BytesIO(sample["flac"]), dtype="int16")
        assert rate == 32_000
        assert hashlib.sha256(audio.astype(np.int16).tobytes()).hexdigest() == row["samples_sha256"]
        assert sample["json"]["original_data"]["clip_id"] == row["clip_id"]
    records = {sample["__key__"]: sample["json"] for sample in samples}
    assert records["freesound-18"]["text"] == ["A dog barks.", "A dog.", "A dog barks twice in a yard."]
    assert records["freesound-18"]["original_data"]["other_captions"] == FURTHER
    assert records[f"audioset_sl-{VIDEO}_30000"]["tag"] == ["Dog", "Bark"]
    assert records["bbc_sound_effects-0706"]["tag"] == ["Machines"]


def test_clap_and_open_clip_count_the_clips_by_sizes_json(exported: ExportedSet, tmp_path: Path) -> None:
    # `get_dataset_size` of both: the file beside the tars, by the tars' base names.
    make(exported, "webdataset", tmp_path / "tars")
    sizes = json.loads((tmp_path / "tars" / "sizes.json").read_text())
    shards = (tmp_path / "tars").glob("*.tar")
    assert sum(int(sizes[shard.name]) for shard in shards) == len(CLIPS)


def test_duckdb_reads_its_file(exported: ExportedSet, tmp_path: Path) -> None:
    publish(
        exported.store, [clip | {"caption": "A cat."} if n == 2 else clip for n, clip in enumerate(CLIPS)]
    )
    second = publish(exported.store, CLIPS[:-1])
    make(second, "duckdb_file", tmp_path / "file")
    with duckdb.connect(tmp_path / "file" / "wavcaps.duckdb", read_only=True) as database:
        manifest = database.sql("select * from manifest").to_arrow_table()
        assert manifest.cast(MANIFEST.arrow).equals(second.table.cast(MANIFEST.arrow))
        changes = database.sql("select version[:2], clip_id, change from changes order by all").fetchall()
        assert changes == [
            ("v2", "freesound-17", "recaptioned"),
            ("v3", "freesound-17", "recaptioned"),
            ("v3", "soundbible-2215", "removed"),
        ]
        assert database.sql("select count(*) from versions").fetchall() == [(3,)]
        comment = (
            "select comment from duckdb_columns() where table_name = 'manifest' and column_name = 'caption'"
        )
        assert database.sql(comment).fetchall() == [("the caption",)]
    make(exported, "duckdb_file", tmp_path / "first")
    with duckdb.connect(tmp_path / "first" / "wavcaps.duckdb", read_only=True) as database:
        assert database.sql("select count(*) from changes").fetchall() == [(0,)]
        labels = database.sql("select label, start_s from strong_labels order by event").fetchall()
        assert labels == [("Dog", 0.0), ("Bark", 0.1), ("Dog", 0.3)]
