"""Manifests in the forms in which people have them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.checks.manifests import write_parquet
from wavcaps_assets.checks.command import check
from wavcaps_assets.checks.manifest_files import read_manifest

ROWS: list[dict[str, Any]] = [
    {"id": "1", "caption": "A dog is barking.", "text": "dog"},
    {"id": "2", "caption": "A bell, a horn and a “drum” sound.", "text": "bell, horn"},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
CSV = 'id,caption,text\n1,A dog is barking.,dog\n2,"A bell, a horn and a “drum” sound.","bell, horn"\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.json", json.dumps(ROWS).encode()),
        ("m.json", json.dumps({"data": ROWS}).encode("utf-8-sig")),
        ("m.json", json.dumps(ROWS).encode("utf-16")),
        ("m.json.gz", gzip.compress(json.dumps(ROWS).encode(), mtime=0)),
        ("m.json", LINES.encode()),
        ("m.jsonl", LINES.encode("utf-8-sig")),
        ("m.ndjson", f"\n{LINES}\n".encode()),
        ("m.JSONL.GZ", gzip.compress(LINES.encode(), mtime=0)),
        ("m.csv", CSV.encode("utf-8-sig")),
        ("m.csv", CSV.replace("\n", "\r\n").encode()),
        ("m.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
    ],
)
def test_each_format_gives_the_same_rows(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    found = read_manifest(tmp_path / name)
    assert found.read == {"m": 2}
    assert found.table.select(["clip_id", "caption", "text"]).to_pylist() == [
        {"clip_id": row["id"], "caption": row["caption"], "text": row["text"]} for row in ROWS
    ]
    assert CliRunner().invoke(check, [str(tmp_path / name)]).exit_code in (0, 1)


def test_one_line_of_json_lines_and_a_table_with_tabs(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(LINES.splitlines()[0])
    (tmp_path / "tabs.tsv").write_text("clip_id\tcaption_1\tcaption_2\n7\tA dog, barking.\t\n")
    found = read_manifest(tmp_path)
    assert found.read == {"one": 1, "tabs": 1}
    assert found.table.column("caption").to_pylist() == ["A dog is barking.", "A dog, barking."]


EVENTS: list[Any] = [
    {"onset_s": 0, "offset_s": 2.0, "label": "Bark"},
    {"onset_s": 3, "offset_s": 5.0, "label": "Cough"},
]


def test_labelled_events_are_read_and_compared(tmp_path: Path) -> None:
    about: dict[str, Any] = {"source": "audioset_sl", "text": "['Bark', 'Cough']"}
    rows: list[dict[str, Any]] = [
        {"clip_id": "1", "caption": "A dog barks, then someone coughs.", "events": EVENTS},
        {"clip_id": "2", "caption": "Someone coughs, then a dog barks.", "events": EVENTS},
        # Not in this form: nothing is compared.
        *(
            {"clip_id": f"3{number}", "caption": "Someone coughs, then a dog barks.", "events": odd}
            for number, odd in enumerate(
                (None, "Bark", ["Bark"], [{"label": "Bark"}], [{**EVENTS[0], "onset_s": "0"}], [EVENTS])
            )
        ),
    ]
    (tmp_path / "m.json").write_text(json.dumps([{**about, **row} for row in rows]))
    found = read_manifest(tmp_path / "m.json")
    assert [bool(events) for events in found.table.column("events").to_pylist()] == [True] * 2 + [False] * 6
    result = CliRunner().invoke(check, [str(tmp_path / "m.json"), "--json"])
    (figure,) = (one for one in json.loads(result.output)["results"] if one["check"] == "event_order")
    assert (figure["value"], figure["of"], figure["status"]) == (0.5, 2, "warned")
    as_parquet = pa.Table.from_pylist([{**about, **row} for row in rows[:2]])
    pq.write_table(as_parquet, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").table.column("events").null_count == 0


@pytest.mark.parametrize("column", ["caption", "captions"])
def test_captions_as_lists(tmp_path: Path, column: str) -> None:
    rows = [{"id": "1", column: ["A dog barks.", "A dog is barking."]}, {"id": "2", column: []}]
    write_parquet(tmp_path / "m.parquet", rows)
    found = read_manifest(tmp_path / "m.parquet")
    assert found.table.column("clip_id").to_pylist() == ["1", "1#2"]
    assert found.unreadable.rows == {"m": 1}


def test_an_id_in_two_of_120_shards_is_a_repeat(tmp_path: Path) -> None:
    for number in range(120):
        rows = [{"id": f"{number}-{row}", "caption": "A dog is barking."} for row in range(2)]
        write_parquet(tmp_path / f"train-{number:05}-of-00120.parquet", rows)
    write_parquet(tmp_path / "train-00119-of-00120.parquet", [{"id": "0-0", "caption": "A dog barks."}])
    found = read_manifest(tmp_path)
    assert found.read == {"train": 239}
    assert found.repeated.rows == {"train": 1}


def test_shards_with_names_that_say_nothing_are_of_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "bells"
    folder.mkdir()
    for number in range(120):
        row = {"id": str(number % 119), "caption": "A bell is ringing."}
        (folder / f"{chr(97 + number % 26)}{number}f.jsonl").write_text(json.dumps(row))
    found = read_manifest(folder)
    assert (found.read, found.repeated.rows) == ({"bells": 120}, {"bells": 1})


def test_folders_name_their_source(tmp_path: Path) -> None:
    for source in ("freesound", "my sounds"):
        folder = tmp_path / f"source={source}"
        folder.mkdir()
        for part in range(2):
            write_parquet(
                folder / f"part-{part}.parquet", [{"id": str(part), "caption": "A dog is barking."}]
            )
    found = read_manifest(tmp_path)
    assert (found.read, found.repeated.rows) == ({"freesound": 2, "my sounds": 2}, {})


def test_the_released_folder_and_a_folder_of_the_hub(tmp_path: Path) -> None:
    row = {"id": "1", "caption": "A dog is barking."}
    released = tmp_path / "json_files"
    for folder, names in {
        "FreeSound": ["fsd_final", "fsd_final_2s"],
        "SoundBible": ["sb_final"],
        "BBC_Sound_Effects": ["bbc_final"],
        "AudioSet_SL": ["as_final"],
    }.items():
        (released / folder).mkdir(parents=True)
        for name in names:
            (released / folder / f"{name}.json").write_text(json.dumps({"num": 1, "data": [row]}))
    (released / "blacklist").mkdir()
    for excluded in ("all_ac", "test_ac", "ub8k_esc50_vggsound"):
        (released / "blacklist" / f"blacklist_exclude_{excluded}.json").write_text('{"FreeSound": ["1"]}')
    found = read_manifest(released)
    assert found.read == {"freesound": 1, "soundbible": 1, "bbc_sound_effects": 1, "audioset_sl": 1}
    assert not found.repeated.rows

    hub = tmp_path / "hub"
    (hub / "data").mkdir(parents=True)
    (hub / ".cache").mkdir()
    (hub / ".cache" / "x.json").write_text("{}")
    (hub / "dataset_infos.json").write_text('{"default": {"splits": {}}}')
    write_parquet(hub / "data" / "train-00000-of-00001.parquet", [row])
    assert read_manifest(hub).read == {"train": 1}


def test_a_table_that_is_not_one_of_dropped_clips(tmp_path: Path) -> None:
    manifest = write_parquet(tmp_path / "m.parquet", ROWS)
    result = CliRunner().invoke(check, [str(manifest), "--dropped", str(manifest)])
    assert result.exit_code == 2
    assert "not a table of dropped clips: it has no column source" in result.stderr
