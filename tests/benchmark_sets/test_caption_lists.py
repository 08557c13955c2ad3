"""Lists of captions are read as they were meant, or not at all: misread lists give other scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store

HEADER = "file_name,caption_1,caption_2,caption_3\n"
ROW = "a.wav,A dog barks.,A café is loud.,Rain falls.\n"
CAPTIONS = ["A dog barks.", "A café is loud.", "Rain falls."]
AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n1,rqfQRErjfk8,170,A crowd\n"


def read(
    store: Path, name: str, content: str | bytes, file: str = "test.csv"
) -> tuple[list, tuple[str, ...]]:
    path = store / "sets" / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = benchmark_named(name).read(Store(store))
    return found.clips.to_pylist(), found.notes


@pytest.mark.parametrize(
    "content",
    [
        HEADER + ROW,
        "\ufeff" + HEADER + ROW,
        (HEADER + ROW).replace(",", ";"),
        (HEADER + ROW).replace(",", "\t"),
        (HEADER + ROW).encode("cp1252"),
        HEADER.replace("caption_2", " Caption_2 ") + ROW,
        HEADER.replace("\n", ",keywords\n") + ROW.replace("\n", ",dog;rain\n"),
    ],
)
def test_a_list_of_any_program_has_the_same_captions(tmp_path: Path, content: str | bytes) -> None:
    (row,), _ = read(tmp_path, "clotho", content)
    assert (row["clip_id"], row["captions"]) == ("clotho-a.wav", CAPTIONS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("clotho", HEADER.replace("caption_2", "captoin_2") + ROW, "'captoin_2' is not read"),
        (
            "clotho",
            HEADER.replace("caption_2", "notes") + ROW,
            "caption_1, caption_3: one in between is missing",
        ),
        ("clotho", HEADER.replace("caption_3", "caption_2") + ROW, "a column of captions is there twice"),
        ("clotho", HEADER.replace("file_name", "filename") + ROW, "has no column file_name or youtube_id"),
        (
            "clotho",
            HEADER + ROW.replace(".,A", ", and more.,A"),
            "line 2 has 5 values, but there are 4 columns",
        ),
        ("clotho", HEADER + ROW + ROW, r"line 3: 'a\.wav' is in line 2, too"),
        ("clotho", HEADER + "a.wav,, ,\n", "line 2: no file_name .* or no caption"),
        ("audiocaps", AUDIOCAPS + "2,rqfQRErjfk8,30,A dog\n", "has another start_time than in line 2"),
    ],
)
def test_what_would_be_misread_is_an_error(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(SetError, match=message):
        read(tmp_path, name, content)


def test_what_is_left_out_or_unusual_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (row,), notes = read(tmp_path, "clotho", HEADER + "a.wav,A dog barks., ,\n")
    assert row["captions"] == ["A dog barks."]
    assert "2 captions of test.csv are empty and left out." in notes
    assert "2 captions of test.csv are empty and left out." in caplog.text
    entry = {"audio": "a.wav", "caption_1": "A dog barks.", "caption_2": " ", "caption_3": ""}
    (row,), notes = read(tmp_path / "json", "clotho", json.dumps({"data": [entry]}), "test.json")
    assert row["captions"] == ["A dog barks."]
    assert "2 captions of test.json are empty and left out." in notes
    (row,), notes = read(tmp_path, "audiocaps", AUDIOCAPS + "2,rqfQRErjfk8,170,A dog\n" * 5)
    assert len(row["captions"]) == 6
    assert "1 clips of test.csv have more than 5 captions: are lines there twice?" in notes
