"""The training sets of the paper's experiments from the real lists of Clotho and AudioCaps."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import DATA
from tests.support.rows import audio_row, manifest_row, raw_row
from wavcaps_assets.benchmark_sets.compose import ComposedSet, compose
from wavcaps_assets.benchmark_sets.decontaminate import OverlapPolicy, OverlapSettings
from wavcaps_assets.benchmark_sets.exclusion_lists import ALL, RELEASED
from wavcaps_assets.benchmark_sets.inputs import SetInputs
from wavcaps_assets.benchmark_sets.sets import SETS
from wavcaps_assets.checks.splits import check_evaluation_apart
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, FILTERED_CLIPS, MANIFEST, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = pytest.mark.skipif(
    not (DATA / "clotho" / "train.csv").exists(),
    reason="the lists of Clotho and AudioCaps are not at hand (shared/data)",
)
KEEP = OverlapSettings(overlaps=OverlapPolicy.keep)
# In two lists of Clotho's: found by comparing the lists' columns `file_name` by hand.
IN_TWO_LISTS = {
    "City Ambience w_ Car Passing_1-2.wav": ("train", "validation"),
    "FREEZER_DOOR_OPEN_CLOSE.wav": ("train", "test"),
    "01 A pug struggles to breathe 1_14_2008.wav": ("validation", "test"),
    "Bus(Drive_Reverse)_1-2.wav": ("validation", "test"),
}


def real_list(name: str, split: str) -> list[dict[str, str]]:
    with (DATA / name / f"{split}.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def write_list(folder: Path, split: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """A real list as JSON, whose durations spare opening thousands of files. The audio files are empty."""
    entries = [{**row, "audio": row["file_name"], "duration": 10.0} for row in rows]
    (folder / split).mkdir(parents=True)
    (folder / f"{split}.json").write_text(json.dumps({"data": entries}))
    for entry in entries:
        (folder / split / entry["audio"]).touch()


@pytest.fixture(scope="module")
def videos() -> list[str]:
    """Three videos of AudioCaps' real test list."""
    return [
        row["file_name"].removeprefix("Y").removesuffix(".wav") for row in real_list("audiocaps", "test")[:3]
    ]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, videos: list[str]) -> TableStore:
    """Real lists; of AudioCaps' train list, which is not at hand, two clips. No released list."""
    root = tmp_path_factory.mktemp("store")
    for split in ("train", "val", "test"):
        write_list(root / "sets" / "clotho", split, real_list("clotho", split))
    for split in ("val", "test"):
        write_list(root / "sets" / "audiocaps", split, real_list("audiocaps", split))
    few = [{"file_name": f"Ytrain-clip-{number}.wav", "caption": "A dog barks."} for number in range(2)]
    write_list(root / "sets" / "audiocaps", "train", few)
    write_list(root / "sets" / "laion", "train", [{"file_name": "77.flac", "caption": "A dog barks."}])
    for name in RELEASED:
        (root / "sets" / f"{name}.json").write_text(json.dumps({"AudioSet": [], "FreeSound": ["Not found"]}))
    tables = TableStore(Store(root))
    clips = [manifest_row(f"audioset_sl-{video}_30000", "audioset_sl") for video in videos]
    clips += [manifest_row("freesound-1"), manifest_row("audioset_sl-never-heard_0", "audioset_sl")]
    tables.write(["wavcaps"], None, MANIFEST.from_rows(clips))
    tables.write(["manifest"], "freesound", MANIFEST.from_rows([manifest_row("freesound-1")]))
    raw = [raw_row("freesound-1"), raw_row("freesound-2"), raw_row("freesound-3", description=" \u00a0 ")]
    tables.write(["freesound", "raw_clips"], "2022-11", RAW_CLIPS.from_rows(raw))
    tables.write(
        ["freesound", "audio"],
        "2022-11",
        AUDIO.from_rows([audio_row("freesound-1"), audio_row("freesound-3")]),
    )
    kept = [{name: row.get(name) for name in FILTERED_CLIPS.arrow.names} for row in raw[:1]]
    tables.write(["filtered_clips"], "freesound", FILTERED_CLIPS.from_rows(kept))
    return tables


def dropped(made: ComposedSet) -> dict[str, str]:
    return {row["clip_id"]: row["reason"] for row in made.stage.dropped.to_pylist()}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SETS))
def test_every_training_set_is_built(tables: TableStore, name: str) -> None:
    made = compose(SETS[name], SetInputs(tables))
    tables.write(["training_manifest", name], None, made.stage)
    splits = Counter(
        (row["source"], row["split"]) for row in made.stage.kept.select(["source", "split"]).to_pylist()
    )
    if "clotho" in SETS[name].evaluated_on:
        assert (splits["clotho", "validation"], splits["clotho", "test"]) == (1_045, 1_045)
    if "audiocaps" in SETS[name].evaluated_on:
        clips = {
            split: len({row["file_name"] for row in real_list("audiocaps", split)})
            for split in ("val", "test")
        }
        assert (splits["audiocaps", "validation"], splits["audiocaps", "test"]) == (
            clips["val"],
            clips["test"],
        )
    assert check_evaluation_apart(made.stage.kept, None).passed


@pytest.mark.slow
def test_a_file_name_in_two_of_clothos_lists_is_two_clips(tables: TableStore) -> None:
    """It is removed from train, and the overlap is named."""
    made = compose(SETS["clotho"], SetInputs(tables))
    ids = set(made.stage.kept["clip_id"].to_pylist())
    for file, (one, other) in IN_TWO_LISTS.items():
        assert f"clotho-{file}" not in ids
        assert f"clotho-{other}-{file}" in ids
        assert (f"clotho-{one}-{file}" in ids) == (one != "train")
    # All others have the ids that older versions gave them.
    assert "clotho-Distorted AM Radio noise.wav" in ids
    assert len(ids) == 3_839 + 1_045 + 1_045 - 2
    assert dropped(made) == {
        f"clotho-{one}-{file}": "in_evaluation" for file, (one, _) in IN_TWO_LISTS.items() if one == "train"
    }
    assert {(row["clip_id"], row["benchmark_clip_id"]) for row in made.overlaps.to_pylist()} == {
        (f"clotho-{one}-{file}", f"clotho-{other}-{file}") for file, (one, other) in IN_TWO_LISTS.items()
    }


@pytest.mark.slow
def test_overlaps_can_be_kept(tables: TableStore) -> None:
    made = compose(SETS["clotho"], SetInputs(tables), KEEP)
    assert made.stage.kept.num_rows == 3_839 + 1_045 + 1_045
    assert not dropped(made) and made.overlaps.num_rows == len(IN_TWO_LISTS)
    # The check is independent, and knows the policy.
    assert not check_evaluation_apart(made.stage.kept, None).passed
    verdict = check_evaluation_apart(made.stage.kept, "keep")
    assert verdict.passed and verdict.numbers == {"clips in both": 2}


@pytest.mark.slow
def test_an_id_does_not_depend_on_the_splits_that_a_set_reads(tables: TableStore) -> None:
    """Zero-shot reads Clotho's validation and test lists only, fine-tuning all three."""
    of = {}
    for name in ("clotho", "wavcaps_zero_shot"):
        rows = (
            compose(SETS[name], SetInputs(tables))
            .stage.kept.select(["clip_id", "source", "split"])
            .to_pylist()
        )
        of[name] = {row["clip_id"] for row in rows if row["source"] == "clotho" and row["split"] != "train"}
    assert of["clotho"] == of["wavcaps_zero_shot"]


@pytest.mark.slow
def test_training_clips_are_compared_with_the_evaluation_clips_of_their_own_table(
    tables: TableStore, videos: list[str]
) -> None:
    """The released lists do not name these videos, and AudioCaps' test list does."""
    made = compose(SETS["wavcaps_zero_shot"], SetInputs(tables))
    assert dropped(made) == {f"audioset_sl-{video}_30000": "in_evaluation" for video in videos}
    train = [row["clip_id"] for row in made.stage.kept.to_pylist() if row["split"] == "train"]
    assert train == ["freesound-1", "audioset_sl-never-heard_0"]
    details = [row["detail"] for row in made.stage.dropped.sort_by("clip_id").to_pylist()]
    assert (
        f"YouTube video {sorted(videos)[0]} is also audiocaps-Y{sorted(videos)[0]}.wav of the test split"
        in details
    )
    assert not check_evaluation_apart(
        compose(SETS["wavcaps_zero_shot"], SetInputs(tables), KEEP).stage.kept, None
    ).passed


@pytest.mark.slow
def test_clips_without_text_or_audio_are_dropped_with_a_reason(tables: TableStore) -> None:
    made = compose(SETS["freesound_before_stage_1"], SetInputs(tables))
    assert dropped(made) == {"freesound-2": "no_audio_yet", "freesound-3": "no_text"}


def test_clothos_ids_of_freesound_count_where_a_list_has_them(tmp_path: Path) -> None:
    """The released JSON of Clotho's test clips has them."""
    listed = json.loads((DATA / "clotho" / "test.json").read_text())["data"][:5]
    for split, entries in (("val", listed[:2]), ("test", listed[2:])):
        folder = tmp_path / "sets" / "clotho" / split
        folder.mkdir(parents=True)
        (folder.parent / f"{split}.json").write_text(json.dumps({"data": entries}))
        for entry in entries:
            (folder / entry["audio"].rpartition("/")[2]).touch()
    write_list(tmp_path / "sets" / "audiocaps", "val", real_list("audiocaps", "val")[:1])
    write_list(tmp_path / "sets" / "audiocaps", "test", real_list("audiocaps", "test")[:1])
    (tmp_path / "sets" / f"{ALL}.json").write_text(json.dumps({"AudioSet": [], "FreeSound": ["Not found"]}))
    tables = TableStore(Store(tmp_path))
    rows = [manifest_row(f"freesound-{entry['id']}") for entry in listed] + [manifest_row("freesound-1")]
    tables.write(["wavcaps"], None, MANIFEST.from_rows(rows))
    assert set(dropped(compose(SETS["wavcaps_zero_shot"], SetInputs(tables)))) == {
        f"freesound-{entry['id']}" for entry in listed
    }
