"""Benchmarks are read from their official lists, as they are published and as download tools lay them out."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile

from tests.support.paths import DATA
from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named, known_benchmarks
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import BenchmarkClips
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.defs.benchmarks import benchmark_asset, benchmark_checks
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

ESC50 = "filename,fold,target,category,esc10,src_file,take\n"
ESC50_ROW = "1-30322-A-0.wav,1,0,dog,True,30322,A\n"
URBAN = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
URBAN_ROW = "100032-3-0-0.wav,100032,0.5,1.75,1,5,3,dog_bark\n"
CLOTHO_CAPTIONS = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"
CLOTHO_METADATA = "file_name,keywords,sound_id,sound_link,start_end_samples,manufacturer,license\n"


def write(root: Path, path: str, text: str | bytes) -> None:
    file = root / "sets" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


def write_audio(root: Path, path: str, seconds: float = 0.5) -> None:
    file = root / "sets" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.full(int(16_000 * seconds), 0.1), 16_000)


def read(root: Path, name: str) -> BenchmarkClips:
    return benchmark_named(name).read(Store(root))


def test_esc50_is_read_with_labels_folds_and_freesound_ids(tmp_path: Path) -> None:
    # With a byte order mark, as Excel writes it, and columns in another order.
    rows = "fold,filename,category,src_file,esc10\n2,2-117616-A-48.wav,fireworks,117616,False\n"
    write(tmp_path, "esc50/ESC-50-master/meta/esc50.csv", b"\xef\xbb\xbf" + rows.encode())
    write_audio(tmp_path, "esc50/ESC-50-master/audio/2-117616-A-48.flac")
    (row,) = read(tmp_path, "esc50").clips.to_pylist()
    assert row["clip_id"] == "esc50-2-117616-A-48.wav"
    assert (row["fold"], row["label"], row["freesound_id"]) == (2, "fireworks", "117616")
    assert row["audio_path"] == "sets/esc50/ESC-50-master/audio/2-117616-A-48.flac"
    assert (row["split"], row["licence"], row["captions"]) == ("none", "CC BY-NC", [])


def test_urbansound8k_is_read_with_its_times(tmp_path: Path) -> None:
    write(tmp_path, "urbansound8k/metadata/UrbanSound8K.csv", URBAN + URBAN_ROW)
    write_audio(tmp_path, "urbansound8k/audio/fold5/100032-3-0-0.wav")
    (row,) = read(tmp_path, "urbansound8k").clips.to_pylist()
    assert (row["freesound_id"], row["fold"], row["start_s"], row["duration_s"]) == ("100032", 5, 0.5, 1.25)
    assert row["audio_path"] == "sets/urbansound8k/audio/fold5/100032-3-0-0.wav"


def test_vggsound_is_read_from_its_list_without_a_header(tmp_path: Path) -> None:
    lists = '---g-f_I2yQ,1,"people eating, crisps",train\n-_abcdefghi,30,dog,test\n'
    write(tmp_path, "vggsound/vggsound.csv", lists)
    write_audio(tmp_path, "vggsound/video/---g-f_I2yQ_000001.wav")
    one, other = read(tmp_path, "vggsound").clips.to_pylist()
    assert (one["youtube_id"], one["start_s"], one["label"]) == ("---g-f_I2yQ", 1.0, "people eating, crisps")
    assert (one["split"], one["file"]) == ("train", "---g-f_I2yQ_000001.mp4")
    assert one["audio_path"] == "sets/vggsound/video/---g-f_I2yQ_000001.wav"
    assert (other["split"], other["youtube_id"], other["audio_path"]) == ("test", "-_abcdefghi", None)


@pytest.mark.parametrize("from_metadata", [True, False])
def test_fsd50k_is_read_from_either_of_its_lists(tmp_path: Path, from_metadata: bool) -> None:
    if from_metadata:
        about = {"title": "x", "license": "http://creativecommons.org/licenses/by/3.0/", "uploader": "me"}
        for part, sound in (("dev", "64760"), ("eval", "37199")):
            path = f"fsd50k/FSD50K.metadata/{part}_clips_info_FSD50K.json"
            write(tmp_path, path, json.dumps({sound: about}))
    else:
        dev = 'fname,labels,mids,split\n64760,"Guitar,Music","/m/1,/m/2",val\n'
        write(tmp_path, "fsd50k/FSD50K.ground_truth/dev.csv", dev)
        write(tmp_path, "fsd50k/FSD50K.ground_truth/eval.csv", "fname,labels,mids\n37199,Bark,/m/3\n")
    one, other = read(tmp_path, "fsd50k").clips.to_pylist()
    assert (one["freesound_id"], other["freesound_id"], other["split"]) == ("64760", "37199", "test")
    if from_metadata:
        assert (one["split"], one["author"], one["licence"][-4:]) == ("train", "me", "3.0/")
    else:
        assert (one["split"], one["label"]) == ("validation", "Guitar,Music")


def test_clothos_metadata_has_its_freesound_ids(tmp_path: Path) -> None:
    """Delimiters and encodings differ, some ids are not found, and v2.1 replaced characters of names."""
    captions = CLOTHO_CAPTIONS + "".join(f"{file},A.,B.,C.,D.,E.\n" for file in ("Café.wav", "a_b.wav"))
    write(tmp_path, "clotho/clotho_csv_files/clotho_captions_development.csv", captions)
    link = "https://freesound.org/people/x/sounds/22"
    rows = (
        CLOTHO_METADATA
        + f'Café.wav,k;l,11,"{link}","[44100, 1000000]",Zoë,http://cc/by/3.0\n'
        + f'a:b.wav,k,Not found,{link},Not found,"O\'Neil, J",\n'
    )
    write(tmp_path, "clotho/clotho_csv_files/clotho_metadata_development.csv", rows.encode("cp1252"))
    write(tmp_path, "clotho/test.csv", CLOTHO_CAPTIONS + "c.wav,A.,B.,C.,D.,E.\n")
    write(tmp_path, "clotho/clotho_metadata_evaluation.csv", "file_name;sound_id\nc.wav;33\n")
    write(tmp_path, "clotho/val.csv", CLOTHO_CAPTIONS + "d.wav,A.,B.,C.,D.,E.\n")
    write_audio(tmp_path, "clotho/clotho_audio_files/development/Café.wav")
    found = read(tmp_path, "clotho")
    rows_of = {row["file"]: row for row in found.clips.to_pylist()}
    assert {file: row["freesound_id"] for file, row in rows_of.items()} == {
        "Café.wav": "11",
        "a_b.wav": "22",
        "c.wav": "33",
        "d.wav": None,
    }
    assert (rows_of["Café.wav"]["start_s"], rows_of["Café.wav"]["author"]) == (1.0, "Zoë")
    assert rows_of["Café.wav"]["audio_path"] == "sets/clotho/clotho_audio_files/development/Café.wav"
    assert (rows_of["a_b.wav"]["start_s"], rows_of["a_b.wav"]["author"]) == (None, "O'Neil, J")
    assert found.notes == (
        "The FreeSound ids of 1 of 1 validation clips are not known: clotho_metadata_validation.csv is not "
        "there.",
    )


@pytest.mark.parametrize("file", ["YYtF4-3abcde.wav", "YtF4-3abcde_30.flac", "YYtF4-3abcde_30_40.mp3"])
def test_audiocaps_audio_is_found_as_download_tools_name_it(tmp_path: Path, file: str) -> None:
    rows = "audiocap_id,youtube_id,start_time,caption\n7,YtF4-3abcde,30,A dog.\n8,YtF4-3abcde,30,A hound.\n"
    write(tmp_path, "audiocaps/val.csv", rows)
    write_audio(
        tmp_path, f"audiocaps/audio_32000Hz/val/{file}" if "flac" in file else f"audiocaps/val/{file}"
    )
    found = read(tmp_path, "audiocaps")
    (row,) = found.clips.to_pylist()
    assert (row["youtube_id"], row["start_s"], row["captions"]) == (
        "YtF4-3abcde",
        30.0,
        ["A dog.", "A hound."],
    )
    assert row["audio_path"].endswith(file)
    assert len(found.notes) == 2 and "train split is not there" in found.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize(("captions", "version"), [(49_274, "v1"), (91_256, "v2"), (2_000, "unknown")])
def test_the_train_list_says_which_version_of_audiocaps_it_is(
    tmp_path: Path, captions: int, version: str
) -> None:
    rows = [f"{n},{n:011d},0,A dog.\n" for n in range(captions)]
    write(tmp_path, "audiocaps/train.csv", "audiocap_id,youtube_id,start_time,caption\n" + "".join(rows))
    assert read(tmp_path, "audiocaps").clips["version"].unique().to_pylist() == [version]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("esc50/meta/esc50.csv", ESC50.replace("src_file", "source") + ESC50_ROW, "no column 'src_file'"),
        ("esc50/meta/esc50.csv", ESC50 + ESC50_ROW.replace("30322,", "?,"), "'src_file' is a whole number"),
        ("esc50/meta/esc50.csv", ESC50 + ESC50_ROW.replace(",1,", ",,"), "no value of 'fold'"),
        ("esc50/meta/esc50.csv", ESC50 + ESC50_ROW.replace(",1,", f",{2**40},"), "'fold' is a whole number"),
        ("esc50/meta/esc50.csv", ESC50 + ESC50_ROW * 2, "1 files twice, such as esc50-1-30322-A-0.wav"),
        ("esc50/meta/esc50.csv", ESC50 + '"1-30322-A-0.wav,1', "line 2 is not CSV"),
        ("esc50/other.csv", ESC50, r"no lists here: put meta/esc50\.csv"),
        ("urbansound8k/metadata/UrbanSound8K.csv", URBAN + URBAN_ROW.replace("0.5", "?"), "'start' is a num"),
        (
            "urbansound8k/metadata/UrbanSound8K.csv",
            URBAN + URBAN_ROW.replace("0.5", "nan"),
            "'start' is a num",
        ),
        ("urbansound8k/metadata/UrbanSound8K.csv", URBAN[16:] + URBAN_ROW, "no column 'slice_file_name'"),
        ("vggsound/vggsound.csv", "id,start,label,split\n", "without a header line"),
        ("vggsound/vggsound.csv", "-_abcdefghi,30,dog\n", "line 1 has 3 columns: expected are YouTube ID"),
        ("vggsound/vggsound.csv", "-_abcdefghi,30,dog,dev\n", "is train or test, not 'dev'"),
        ("vggsound/test.csv", "-_abcdefghi.mp4,dog\n", "is not a clip"),
        ("fsd50k/dev.csv", "name,labels\n1,x\n", "no column 'fname'"),
        ("fsd50k/dev_clips_info_FSD50K.json", "[1]", "is no list of FSD50K"),
        ("fsd50k/dev_clips_info_FSD50K.json", '{"1": {"license": 3}}', "'licence' that is not a string"),
        ("audiocaps/val.json", '{"data": [{"audio": "a", "caption": "b", "duration": "c"}]}', "'duration_s'"),
        ("clotho/test.csv", "name,text\nx,y\n", "has no column file_name"),
        ("audiocaps/README", "", r"no lists here: put train\.csv"),
    ],
)
def test_a_list_of_another_form_is_named_with_what_was_expected(
    tmp_path: Path, path: str, text: str, message: str
) -> None:
    write(tmp_path, path, text)
    with pytest.raises(SetError, match=message):
        read(tmp_path, path.partition("/")[0])


@pytest.mark.skipif(not DATA.exists(), reason="the real lists are not at hand (shared/data)")
def test_the_real_lists_are_read(tmp_path: Path) -> None:
    """Their sizes are those of the lists' publishers; Clotho's as counted by hand."""
    for source, path in (
        ("urbansound8k/UrbanSound8K.csv", "urbansound8k/metadata/UrbanSound8K.csv"),
        ("vggsound/test.csv", "vggsound/test.csv"),
        ("freesound/fsd50k_eval_clips_info_excerpt.json", "fsd50k/eval_clips_info_FSD50K.json"),
        *((f"clotho/{split}.csv", f"clotho/{split}.csv") for split in ("train", "val", "test")),
        *((f"audiocaps/{split}.csv", f"audiocaps/{split}.csv") for split in ("val", "test")),
    ):
        write(tmp_path, path, (DATA / source).read_bytes())
    of = {
        name: read(tmp_path, name) for name in ("urbansound8k", "vggsound", "fsd50k", "clotho", "audiocaps")
    }
    urban = of["urbansound8k"].clips
    assert (len(urban), len(urban["freesound_id"].unique())) == (8_732, 1_297)
    assert Counter(urban["fold"].to_pylist()).keys() == set(range(1, 11))
    assert Counter(urban["label"].to_pylist())["siren"] == 929
    assert len(of["vggsound"].clips) == 15_446 and of["vggsound"].notes == (
        "The list of its train split is not there.",
    )
    assert len(of["fsd50k"].clips) == 30
    assert Counter(of["clotho"].clips["split"].to_pylist()) == {
        "train": 3_839,
        "validation": 1_045,
        "test": 1_045,
    }
    assert set(of["clotho"].clips["version"].to_pylist()) == {"v2.1"}
    with (DATA / "audiocaps" / "test.csv").open(newline="") as file:
        videos = [row["file_name"][1:-4] for row in csv.DictReader(file)]
    test = [row["youtube_id"] for row in of["audiocaps"].clips.to_pylist() if row["split"] == "test"]
    assert test == videos


@pytest.mark.slow
def test_the_asset_measures_durations_and_names_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path, "esc50/meta/esc50.csv", ESC50 + ESC50_ROW + ESC50_ROW.replace("-A-", "-B-"))
    write_audio(tmp_path, "esc50/audio/1-30322-A-0.wav", 5.0)
    write(tmp_path, "esc50/audio/1-30322-B-0.wav", b"not audio")
    benchmark = benchmark_named("esc50")
    result = dg.materialize(
        [benchmark_asset(benchmark), benchmark_checks(benchmark)],
        resources=resources(Settings(store=str(tmp_path), sources=Sources.LIVE)),
    )
    assert result.success
    rows = TableStore(Store(tmp_path)).read(["benchmark", "esc50"]).to_pylist()
    assert [row["duration_s"] for row in rows] == [5.0, None]
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name for name, check in checks.items() if not check.passed} == {"official_size"}
    assert checks["official_size"].severity is dg.AssetCheckSeverity.WARN
    (event,) = result.asset_materializations_for_node("benchmark__esc50")
    assert "1-30322-B-0.wav" in str(event.metadata["unreadable audio files"].value)


def test_every_benchmark_says_where_its_lists_belong() -> None:
    assert [benchmark.name for benchmark in known_benchmarks()] == [
        "audiocaps",
        "clotho",
        "esc50",
        "urbansound8k",
        "vggsound",
        "fsd50k",
    ]
    with pytest.raises(ValueError, match="no benchmark 'esc-50': the benchmarks are audiocaps"):
        benchmark_named("esc-50")
