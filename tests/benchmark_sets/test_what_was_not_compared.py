"""Links of FreeSound's first years, and checks that say what they were not compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from wavcaps_assets.benchmark_sets.against import Against
from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.benchmarks.clotho import BENCHMARK as CLOTHO
from wavcaps_assets.benchmark_sets.evidence import compared, overlaps_by_id
from wavcaps_assets.benchmark_sets.exclusion_lists import LISTED
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.checks.contamination import check_free_of
from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import OVERLAPS

OLD = "http://freesound.iua.upf.edu/samplesViewSingle.php?id=30322"
NO_TEST = "The list of its test split is not there."


def _clotho(**columns: Any) -> pa.Table:
    return CLOTHO.clips("v2.1", {"file": ["a.wav"], "freesound_id": ["30322"], "split": ["train"], **columns})


def _against(clips: pa.Table, *notes: str) -> Against:
    nothing = clips.slice(0, 0)
    return Against("clotho", ("test",), clips, LISTED.empty_table(), OVERLAPS.empty(), nothing, notes)


def _manifest(title: str) -> tuple[pa.Table, pa.Table]:
    one = {"clip_id": "soundbible-1", "source": "soundbible", "split": "train"}
    texts = dict.fromkeys(("text", "attribution", "page_url"), "")
    return pa.Table.from_pylist([one]), pa.Table.from_pylist([{**one, **texts, "title": title}])


def _checked(against: Against) -> CheckOutcome:
    manifest, texts = _manifest("a dog")
    return check_free_of(manifest, texts.drop_columns(["source", "split"]), against)


@pytest.mark.parametrize("link", [OLD, "https://www.freesound.org/samplesViewSingle.php?id=30322"])
def test_pages_of_the_first_years_name_a_sound(link: str) -> None:
    clips = _clotho(split=["test"])
    manifest, texts = _manifest(f"from {link}, cut")
    assert len(overlaps_by_id(compared(texts), clips, LISTED.empty_table())) == 1
    assert not check_free_of(manifest, texts.drop_columns(["source", "split"]), _against(clips)).passed


def test_clips_of_other_splits_do_not_count_as_compared() -> None:
    outcome = _checked(_against(_clotho(), NO_TEST))
    assert outcome.description.startswith("not compared")
    assert NO_TEST.removesuffix(".") in outcome.description


def test_a_missing_split_is_named() -> None:
    outcome = _checked(_against(_clotho(split=["test"]), NO_TEST))
    assert outcome.description == f"no training clip is in clotho, compared with 1 clips. {NO_TEST[:-1]}"


@pytest.mark.parametrize(
    ("name", "path", "header"),
    [
        ("esc50", "meta/esc50.csv", "filename,fold,target,category,esc10,src_file,take"),
        (
            "urbansound8k",
            "metadata/UrbanSound8K.csv",
            "slice_file_name,fsID,start,end,salience,fold,classID,class",
        ),
        ("vggsound", "vggsound.csv", ""),
        ("fsd50k", "FSD50K.ground_truth/dev.csv", "fname,labels,mids,split"),
        ("clotho", "clotho_captions_evaluation.csv", "file_name,caption_1"),
        ("audiocaps", "test.csv", "audiocap_id,youtube_id,start_time,caption"),
    ],
)
def test_lists_without_a_clip_are_an_error(tmp_path: Path, name: str, path: str, header: str) -> None:
    file = tmp_path / "sets" / name / path
    file.parent.mkdir(parents=True)
    file.write_text(header + "\n")
    with pytest.raises(SetError, match=name):
        benchmark_named(name).read(Store(str(tmp_path)))


def test_an_id_with_leading_zeros_is_the_same_sound() -> None:
    one = {"clip_id": "freesound-030322", "source": "freesound", "split": "train"}
    texts = {"clip_id": one["clip_id"], **dict.fromkeys(("title", "text", "attribution", "page_url"), "")}
    clips = _clotho(split=["test"])
    found = overlaps_by_id(compared(pa.Table.from_pylist([one])), clips, LISTED.empty_table())
    assert found.column("key").to_pylist() == ["FreeSound sound 30322"]
    outcome = check_free_of(pa.Table.from_pylist([one]), pa.Table.from_pylist([texts]), _against(clips))
    assert not outcome.passed
