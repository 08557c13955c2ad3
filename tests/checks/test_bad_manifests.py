"""Input that is no manifest, or a bad one: refused with what is wrong, or counted row by row."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from array import array
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.checks.manifests import good_rows, write_json, write_parquet
from wavcaps_assets.checks.command import check
from wavcaps_assets.checks.manifest_files import read_manifest
from wavcaps_assets.checks.manifest_formats import UnusableManifest


def refused(path: Path) -> str:
    with pytest.raises(UnusableManifest) as error:
        read_manifest(path)
    return str(error.value)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_missing_columns_are_named_with_what_was_there(tmp_path: Path, suffix: str) -> None:
    rows = [{"clip": "1", "captoin": "A dog barks.", "length": 3}]
    path = tmp_path / f"m.{suffix}"
    said = refused(write_parquet(path, rows) if suffix == "parquet" else written(path, json.dumps(rows)))
    assert "no column clip_id or id" in said
    assert "no column caption or caption_1 (is it 'captoin'?)" in said
    assert "it has captoin, clip, length" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.json", '{"data": [{"id": "1", "caption": "A dog', "cannot be read as JSON"),
        ("deep.json", "[" * 200_000, "cannot be read as JSON"),
        ("list.json", '{"AudioSet": ["Y1.wav"]}', "no list of clips"),
        ("strings.json", '["1", "2"]', "row 1 is text, not an object"),
        ("none.json", '{"data": []}', "has no rows"),
        ("cut.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
        ("m.csv", "id,caption\n", "has no rows"),
        ("m.csv", "id,caption\n1,A dog barks, and a cat meows.\n", "line 2 has more values than columns"),
        ("m.csv", 'id,caption\n1,"A dog barks.\n', "cannot be read as CSV"),
        ("m.csv", "", "no column clip_id or id"),
        ("m.txt", "id,caption\n", "another format: the name must end with .parquet, .json"),
        ("m.json.gz", "[]", "cannot be read"),
        # Without a time: the name of the test is made from the bytes.
        ("cut.jsonl.gz", gzip.compress(b'{"id": "1", "caption": "A dog"}', mtime=0)[:-12], "cannot be read"),
        ("lines.jsonl", '{"id": "1", "caption": "A dog barks."}\n{"id": "2"', "JSON Lines: line 2"),
        # As many sources as clips: the column holds addresses.
        (
            "urls.json",
            str(
                [{"id": str(n), "caption": "A dog barks.", "source": f"x.org/{n}"} for n in range(200)]
            ).replace("'", '"'),
            "The column `source` says from which site",
        ),
    ],
)
def test_files_that_are_no_manifest(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    path = written(tmp_path / name, content)
    assert said in refused(path)
    result = CliRunner().invoke(check, [str(path)])
    assert (result.exit_code, str(path) in result.stderr) == (2, True)


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "whole.parquet", good_rows()).read_bytes()
    assert "cannot be read as Parquet" in refused(
        written(tmp_path / "half.parquet", whole[: len(whole) // 2])
    )


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'} does not exist"
    assert "has no file that ends with .parquet" in refused(tmp_path)


def test_captions_that_are_no_text_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    captions = ["A dog barks.", 7, None, [3, {}], "\ud800 barks", "  ", {"a": 1}, True]
    rows = [{"id": str(at), "caption": caption} for at, caption in enumerate(captions)]
    rows.append({"id": None, "caption": "A cat meows."})
    found = read_manifest(written(tmp_path / "sb_final.json", json.dumps({"data": rows})))
    assert found.table.column("caption").to_pylist() == ["A dog barks."]
    assert (found.read, found.unreadable.rows) == ({"soundbible": 10}, {"soundbible": 9})
    problems = [example.detail for example in found.unreadable.examples["soundbible"]]
    assert problems[:4] == [
        "the caption is a number, not text",
        "no caption",
        "the caption is a number, not text",
        "the caption is an object, not text",
    ]


def test_nan_and_bytes_that_are_no_utf8_do_not_lose_the_file(tmp_path: Path) -> None:
    content = (
        b'{"data": [{"id": "1", "caption": "A dog barks.", "duration": NaN}, {"id": "2", "caption": "\xff"}]}'
    )
    found = read_manifest(written(tmp_path / "m.json", content))
    assert found.table.column("clip_id").to_pylist() == ["1"]
    assert found.unreadable.rows == {"m": 1}


def test_repeated_ids_are_counted_within_a_source_only(tmp_path: Path) -> None:
    rows = good_rows(3)
    write_json(tmp_path / "sb_final.json", [*rows, rows[0]])
    write_json(tmp_path / "bbc_final.json", rows)
    found = read_manifest(tmp_path)
    assert found.repeated.rows == {"soundbible": 1}
    assert found.read == {"bbc_sound_effects": 3, "soundbible": 4}


def test_several_captions_of_a_clip(tmp_path: Path) -> None:
    rows = [{"id": "1", "caption_1": "A dog barks.", "caption_2": "A dog is barking.", "caption_3": None}]
    found = read_manifest(written(tmp_path / "m.json", json.dumps({"data": rows})))
    assert found.table.column("clip_id").to_pylist() == ["1", "1#2"]
    assert not found.repeated.rows


def test_what_a_stage_set_aside_is_no_manifest(tmp_path: Path) -> None:
    write_parquet(tmp_path / "soundbible.parquet", good_rows(5))
    write_parquet(tmp_path / "soundbible.dropped.parquet", [{"clip_id": "1", "reason": "no_audio_yet"}])
    assert read_manifest(tmp_path).read == {"soundbible": 5}


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[digits]\nmost = 1", "digits.most"),
        ("[digits]\nerror = nan", "inf"),
        ("[digts]\nerror = 1", "digts: there is no such setting"),
        ("digits =", "cannot be read"),
        ("[rules]\npreset = 'strict'", "rules.preset: there is no such setting; there are enabled,"),
        ("rules = 3", "rules: "),
    ],
)
def test_thresholds_that_make_no_sense(tmp_path: Path, toml: str, said: str) -> None:
    settings = written(tmp_path / "thresholds.toml", toml)
    manifest = write_parquet(tmp_path / "m.parquet", good_rows(5))
    result = CliRunner().invoke(check, [str(manifest), "--settings", str(settings)])
    assert (result.exit_code, said in result.stderr) == (2, True), result.output


def test_an_id_that_is_no_name_is_said_to_be_none(tmp_path: Path) -> None:
    rows = [{"id": value, "caption": "A dog barks."} for value in ("a", 7, True, 1.5, ["b"], "\ud800")]
    found = read_manifest(written(tmp_path / "m.json", json.dumps(rows)))
    assert found.table.column("clip_id").to_pylist() == ["a", "7"]
    assert [example.detail for example in found.unreadable.examples["m"]] == [
        "its id is true or false",
        "its id is a number",
        "its id is a list",
        "characters in its id that are not text",
    ]


def test_the_ending_of_a_name_may_be_in_capitals(tmp_path: Path) -> None:
    write_parquet(tmp_path / "SB_FINAL.PARQUET", good_rows(2))
    assert (
        read_manifest(tmp_path / "SB_FINAL.PARQUET").read == read_manifest(tmp_path).read == {"soundbible": 2}
    )


def test_a_folder_that_cannot_be_read_is_not_left_out() -> None:
    # Root can read every folder, and others cannot look into pytest's.
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_parquet(folder / "a.parquet", good_rows())
        (folder / "b").mkdir(mode=0)
        os.seteuid(user or 65534)
        try:
            assert f"{folder / 'b'} cannot be read: Permission denied" in refused(folder)
            assert "cannot be read: Permission denied" in refused(folder / "b")
        finally:
            os.seteuid(user)
            (folder / "b").chmod(0o755)


def test_folders_that_are_links_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    write_parquet(tmp_path / "elsewhere" / "a.parquet", good_rows())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "data2").symlink_to(tmp_path / "elsewhere")
    found = read_manifest(tmp_path / "set")
    assert found.table.num_rows == len(good_rows())
    assert found.repeated.rows.total() == 0


def test_captions_of_a_type_that_holds_no_text_are_named(tmp_path: Path) -> None:
    rows = [{"clip_id": "1", "captions": [{"text": "A dog is barking."}]}]
    said = refused(write_parquet(tmp_path / "m.parquet", rows))
    assert "the column captions is list<element: struct<text: string>>, and not text" in said


def test_bytes_that_are_not_text_spoil_their_row_of_parquet(tmp_path: Path) -> None:
    data = b"\xff\xfeA dog is barking."
    offsets = pa.py_buffer(array("i", [0, 2, len(data)]).tobytes())
    captions = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(data))
    pq.write_table(pa.table({"clip_id": ["1", "2"], "caption": captions}), tmp_path / "m.parquet")
    found = read_manifest(tmp_path / "m.parquet")
    assert found.table.column("clip_id").to_pylist() == ["2"]
    assert found.unreadable.rows.total() == 1
