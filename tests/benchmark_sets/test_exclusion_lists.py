"""Exclusion lists that a person wrote or damaged, and ids with leading zeros."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from wavcaps_assets.benchmark_sets.against import Against
from wavcaps_assets.benchmark_sets.benchmarks.clotho import BENCHMARK as CLOTHO
from wavcaps_assets.benchmark_sets.evidence import compared, overlaps_by_id
from wavcaps_assets.benchmark_sets.exclusion_lists import ALL, read_listed
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.checks.contamination import check_free_of
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import BENCHMARK_CLIPS, OVERLAPS


def _listed(root: Path, content: object) -> pa.Table:
    Store(root).write_bytes(f"sets/{ALL}.json", json.dumps(content).encode())
    return read_listed(Store(root), [ALL])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"FreeSound": "123", "AudioSet": []}, "`FreeSound` is no list"),
        ({"FreeSound": ["1"], "AudioSet": {"Ya": 1}}, "`AudioSet` is no list"),
        ({"FreeSound": ["1"]}, "`AudioSet` is no list"),
        ({"FreeSound": [None], "AudioSet": []}, "has the entry null"),
        ({"FreeSound": [1.5], "AudioSet": []}, "has the entry 1.5"),
        ({"FreeSound": [True], "AudioSet": []}, "has the entry true"),
        ({"FreeSound": [["1"]], "AudioSet": []}, r"has the entry \[\"1\"\]"),
        ({"FreeSound": [" "], "AudioSet": []}, "has the entry"),
        ({"FreeSound": [], "AudioSet": []}, f"has no id: put the released {ALL}.json there again"),
        (["1"], "expected is an object"),
    ],
)
def test_a_list_of_another_form_is_an_error_that_says_what_is_expected(
    tmp_path: Path, content: object, problem: str
) -> None:
    with pytest.raises(SetError, match=problem):
        _listed(tmp_path, content)


def test_leading_zeros_of_a_sound_do_not_count(tmp_path: Path) -> None:
    # "Not found" is in the released lists.
    listed = _listed(tmp_path, {"FreeSound": [30322, "0555", "Not found"], "AudioSet": []})
    assert listed.column("entry").to_pylist() == ["30322", "555", "Not found"]
    texts = {
        "soundbible-1": "from https://freesound.org/s/00030322/, cut",
        "soundbible-2": "see 0555__someone__dog.wav",
        "soundbible-3": "a copy of 1-030322-A-0.wav",
        "freesound-00555": "a dog",
    }
    columns: dict[str, list[str]] = {
        "clip_id": list(texts),
        "source": [one.partition("-")[0] for one in texts],
        "split": ["train"] * len(texts),
        "text": list(texts.values()),
    }
    clips = pa.table(columns)
    nothing = BENCHMARK_CLIPS.empty()
    by_list = overlaps_by_id(compared(clips), nothing, listed)
    assert set(by_list.column("clip_id").to_pylist()) == set(texts)
    own = CLOTHO.clips("v2.1", {"file": ["a.wav"], "freesound_id": ["030322"], "split": ["test"]})
    by_id = overlaps_by_id(compared(clips), own, listed.slice(0, 0))
    assert by_id.column("clip_id").to_pylist() == ["soundbible-1", "soundbible-3"]
    against = Against("clotho", ("test",), own, listed, OVERLAPS.empty(), nothing)
    blank = pa.array([""] * len(texts))
    said = pa.table(
        {
            "clip_id": columns["clip_id"],
            "text": columns["text"],
            **dict.fromkeys(("title", "attribution", "page_url"), blank),
        }
    )
    outcome = check_free_of(clips, said, against)
    assert not outcome.passed and outcome.description.startswith(("3 ", "4 "))
