"""Sets as others publish them: what is read of them, and that audio and captions arrive unchanged."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.importing.conftest import Lane
from tests.importing.released import flac, released, tarred, write_json
from tests.support.paths import DATA
from wavcaps_assets.crawl.ledger import ledger_of
from wavcaps_assets.importing.importing import SetTables, build_tables, write_import
from wavcaps_assets.importing.reading import find_set
from wavcaps_assets.sources.imported import PARTITION, imported_sources
from wavcaps_assets.tables.asset_tables import TableStore

NEEDS_ZIP = pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP makes the split archives")


def imported(path: Path, state: Path, audio: Path | None = None, source: str | None = None) -> SetTables:
    files = find_set(path, audio, source)
    built = build_tables(files)
    write_import(built, files, state)
    return built


def samples_sha256(content: bytes, folder: Path) -> str:
    """The hash of 16-bit samples, by libsndfile alone."""
    path = folder / "one.flac"
    path.write_bytes(content)
    samples, _ = soundfile.read(path, dtype="int16")
    return hashlib.sha256(np.asarray(samples).astype("<i2").tobytes()).hexdigest()


@NEEDS_ZIP
@pytest.mark.slow
def test_the_released_layout_arrives_with_its_captions_and_the_audio_of_its_zips(
    tmp_path: Path, state: Path, tables: TableStore, lane: Lane
) -> None:
    built = imported(released(tmp_path / "WavCaps"), state)
    assert (tmp_path / "WavCaps/Zip_files/FreeSound/FreeSound.z01").is_file()
    assert {name: table.num_rows for name, table in built.tables.items()} == {
        "freesound": 4,
        "soundbible": 1,
        "audioset_sl": 1,
    }
    assert built.without_audio("freesound") == 1
    assert built.notes.unused_audio == 1
    free = {row["clip_id"]: row for row in lane("freesound").to_pylist()}
    assert {name: row["caption"] for name, row in free.items()} == {
        "freesound-102": "Rain falls on a tent.",
        "freesound-2215": "A dog barks.",
        "freesound-104": "Someone saws wood.",
    }
    rain, dog = free["freesound-102"], free["freesound-2215"]
    assert rain["text"] == "Rain on a tent, recorded in May."
    assert (rain["author"], rain["tags"]) == ("Ada", ["rain", "tent"])
    assert rain["page_url"] == "https://freesound.org/people/Ada/sounds/102/"
    assert rain["samples_sha256"] == samples_sha256(flac(1), tmp_path)
    # The same number is a clip of two sources.
    assert dog["samples_sha256"] == samples_sha256(flac(2), tmp_path)
    (labrador,) = lane("soundbible").to_pylist()
    assert labrador["clip_id"] == "soundbible-2215"
    assert labrador["page_url"] == "https://soundbible.com/2215-Labrador-Barking-Dog.html"
    assert labrador["samples_sha256"] == samples_sha256(flac(4), tmp_path)
    (car,) = lane("audioset_sl").to_pylist()
    assert (car["clip_id"], car["caption"]) == ("audioset_sl-b0RFKhbpFJA", "A car passes.")
    dropped = tables.read_dropped(["freesound", "audio"]).to_pylist()
    assert [(row["clip_id"], row["reason"]) for row in dropped] == [("freesound-103", "audio_gone")]


@NEEDS_ZIP
@pytest.mark.slow
def test_importing_again_changes_nothing_and_reads_no_audio_again(
    tmp_path: Path, state: Path, tables: TableStore, lane: Lane
) -> None:
    folder = released(tmp_path / "WavCaps")
    imported(folder, state)
    before, fetched = lane("freesound"), tables.read(["freesound", "audio"])
    history = ledger_of(tables, "freesound", PARTITION)
    imported(folder, state)
    assert lane("freesound").equals(before)
    # Clips without audio are not noted again in every run.
    assert ledger_of(tables, "freesound", PARTITION).equals(history)
    assert tables.read(["freesound", "audio"]).equals(fetched)


@pytest.mark.slow
def test_the_released_soundbible_keeps_its_captions(state: Path, lane: Lane) -> None:
    released_file = DATA / "wavcaps/sb_final.json"
    if not released_file.is_file():
        pytest.skip("the released SoundBible file and clips are not here: ../shared/data")
    built = imported(released_file, state, DATA / "soundbible_clips")
    rows = json.loads(released_file.read_bytes())["data"]
    assert built.tables["soundbible"].num_rows == len(rows) == 900
    captions = {f"soundbible-{row['id']}": row["caption"] for row in rows}
    listed = built.tables["soundbible"].to_pylist()
    assert {row["clip_id"]: row["captions"] for row in listed} == {
        name: [caption] for name, caption in captions.items()
    }
    here = {
        one["soundbible_id"]
        for one in map(json.loads, (DATA / "soundbible_clips/index.jsonl").read_text().splitlines())
        if one["in_wavcaps"]
    }
    manifest = lane("soundbible").to_pylist()
    assert {row["source_id"] for row in manifest} == here
    assert all(row["caption"] == captions[row["clip_id"]] for row in manifest)


def test_tars_of_laion_and_folders_of_parquet_have_their_audio_inside(
    tmp_path: Path, state: Path, lane: Lane
) -> None:
    record = {
        "text": ["A dog barks.", "A dog is barking."],
        "tag": ["dog"],
        "original_data": {"title": "Dog 1", "description": "my dog", "license": "CC0", "duration": 1.0},
    }
    tarred(
        tmp_path / "laion/train/000.tar",
        {
            "dogs/1.flac": flac(1),
            "dogs/1.json": json.dumps(record).encode(),
            "2.flac": flac(2),
            "2.json": b'{"text": "Rain falls."}',
            "3.json": b'{"text": "The audio of this clip is lost."}',
        },
    )
    built = imported(tmp_path / "laion", state, source="laion")
    dog, rain, lost = built.tables["laion"].to_pylist()
    assert (dog["captions"], dog["tags"], dog["title"]) == (record["text"], ["dog"], "Dog 1")
    assert (dog["licence"], dog["description"], dog["audio"] is not None) == ("CC0", "my dog", True)
    assert (rain["clip_id"], lost["audio"]) == ("laion-2", None)
    kept = {row["clip_id"]: row for row in lane("laion").to_pylist()}
    assert {name: row["caption"] for name, row in kept.items()} == {
        "laion-dogs-1": "A dog barks.",
        "laion-2": "Rain falls.",
    }
    assert kept["laion-2"]["samples_sha256"] == samples_sha256(flac(2), tmp_path)

    audio = [{"bytes": flac(number), "path": f"{number}.flac"} for number in (3, 4, 5)]
    rows = pa.table({"id": ["a", "b", "c"], "caption": ["One.", "Two.", "Three."], "audio": audio})
    (tmp_path / "hub/data").mkdir(parents=True)
    pq.write_table(rows, tmp_path / "hub/data/train-00000-of-00001.parquet", row_group_size=2)
    imported(tmp_path / "hub", state, source="hub")
    hashes = {row["caption"]: row["samples_sha256"] for row in lane("hub").to_pylist()}
    assert hashes == {
        caption: samples_sha256(flac(number), tmp_path)
        for caption, number in (("One.", 3), ("Two.", 4), ("Three.", 5))
    }


def test_what_the_released_files_say_in_other_ways_is_read(tmp_path: Path) -> None:
    write_json(
        tmp_path / "json_files/FreeSound/fsd_final.json",
        [
            {"id": 7, "caption": "Seven.", "duration": 3, "href": "//evil.example/x"},
            {"id": "8", "caption_1": "Eight.", "caption_2": "It is eight.", "duration": "4.5"},
            {"id": 9.0, "caption": "Nine.", "description": "nan"},
            {"id": "7", "caption": "Seven again."},
            {"id": None, "caption": "Nobody's."},
        ],
    )
    built = build_tables(find_set(tmp_path))
    rows = built.tables["freesound"].to_pylist()
    assert [(row["source_id"], row["captions"], row["duration_s"]) for row in rows] == [
        ("7", ["Seven."], 3.0),
        ("8", ["Eight.", "It is eight."], 4.5),
        ("9", ["Nine."], None),
    ]
    # A link to another site is not followed; the page of a FreeSound id is known.
    assert rows[0]["page_url"] == "https://freesound.org/s/7/" and rows[2]["description"] is None
    assert built.repeated == {"freesound": 1}
    assert built.notes.problems["rows that are of no clip"] == 1
    assert imported_sources(None, tmp_path) == ()
