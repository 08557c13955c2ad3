"""A clip stays in its part of the split, whatever leaves the set and whatever joins it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from tests.compat.test_old_home import ARCHIVE
from tests.support.rows import manifest_row
from wavcaps_assets.checks.splits import check_recordings_apart, check_split_kept
from wavcaps_assets.defs.table_io_manager import ALLOW_FEWER_ROWS
from wavcaps_assets.defs.training_sets import training_set_assets, training_set_checks
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.publishing.splits import (
    ASSIGNMENTS_KEY,
    Split,
    SplitSettings,
    read_assignments,
    require_train,
    split_by_recording,
)
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST, RECORDINGS, SPLIT_ASSIGNMENTS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.shrinking import FarFewerRows

SETTINGS = SplitSettings()
NOW = datetime(2026, 11, 28, tzinfo=UTC)
# 300 recordings of three clips each. The smallest id of each is its clip a.
OF_THREE = {f"freesound-{number}{name}": f"tape {number}" for number in range(300) for name in "abc"}


def split(recordings: Mapping[str, str], assigned: pa.Table, settings: SplitSettings = SETTINGS) -> Split:
    """A set of clips, each with the name of its recording."""
    rows = [{"clip_id": clip, "recording": name} for clip, name in recordings.items()]
    return split_by_recording(manifest(recordings), RECORDINGS.from_rows(rows), settings, assigned, NOW)


def manifest(clips: Iterable[str]) -> pa.Table:
    return MANIFEST.from_rows(manifest_row(clip) for clip in clips)


def sides(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["clip_id"].to_pylist(), table["split"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def first() -> Split:
    return split(OF_THREE, SPLIT_ASSIGNMENTS.empty())


def test_the_lowest_id_of_each_recording_leaves_and_nothing_moves(first: Split) -> None:
    """By the name of its smallest clip, 489 of 900 clips moved, 123 of them from test to train."""
    left = {clip: name for clip, name in OF_THREE.items() if not clip.endswith("a")}
    after = split(left, first.assignments)
    assert not after.moved.num_rows
    assert sides(after.manifest).items() <= sides(first.manifest).items()
    # The clips that left come back, without the rest of their recordings and without that list.
    back = split({clip: clip for clip in OF_THREE if clip not in left}, after.assignments)
    assert sides(back.manifest).items() <= sides(first.manifest).items()


def test_a_new_clip_of_a_recording_goes_where_the_recording_is(first: Split) -> None:
    # Its name is smaller than all others, so by names it would be the group's.
    more = {f"a-{number}": f"tape {number}" for number in range(300)}
    after = split({**OF_THREE, **more}, first.assignments)
    assert sides(first.manifest).items() <= sides(after.manifest).items()
    assert all(
        sides(after.manifest)[clip] == sides(first.manifest)[f"freesound-{clip.removeprefix('a-')}a"]
        for clip in more
    )
    # Also if the clips of the recording left the set, as long as the list names them.
    rows = [{"clip_id": clip, "recording": name} for clip, name in {**OF_THREE, **more}.items()]
    alone = split_by_recording(manifest(more), RECORDINGS.from_rows(rows), SETTINGS, first.assignments, NOW)
    assert sides(alone.manifest).items() <= sides(after.manifest).items()


def renamed(part: Split, of_clip: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """For each new clip, the part of the clip that it was, and its own."""
    return {new: (sides(part.assignments)[old], sides(part.manifest)[new]) for new, old in of_clip.items()}


@pytest.mark.slow
def test_a_sound_that_comes_back_under_another_id_goes_where_it_was(first: Split) -> None:
    """By the id alone, 39 of 300 sounds went from test to train."""
    ours = [clip for clip in OF_THREE if clip.endswith("a")]
    none = RECORDINGS.empty()
    alone = split_by_recording(manifest(ours), none, SETTINGS, SPLIT_ASSIGNMENTS.empty(), NOW)
    away = split_by_recording(manifest(["freesound-x"]), none, SETTINGS, alone.assignments, NOW)
    of_clip = {f"pack-{number}": clip for number, clip in enumerate(ours)}
    rows = [{**manifest_row(old), "clip_id": new} for new, old in of_clip.items()]
    back = split_by_recording(MANIFEST.from_rows(rows), none, SETTINGS, away.assignments, NOW)
    parts = renamed(back, of_clip)
    assert all(old == new for old, new in parts.values())
    assert {old for old, _ in parts.values()} == {"train", "validation", "test"}
    # A clip whose samples were replaced has had both.
    rows = [{**manifest_row(clip), "samples_sha256": f"{number:064x}"} for number, clip in enumerate(ours)]
    replaced = split_by_recording(MANIFEST.from_rows(rows), none, SETTINGS, alone.assignments, NOW)
    assert sides(replaced.manifest) == sides(alone.manifest)
    rows = [{**manifest_row(old), "clip_id": new} for new, old in of_clip.items()]
    again = split_by_recording(MANIFEST.from_rows(rows), none, SETTINGS, replaced.assignments, NOW)
    assert all(old == new for old, new in renamed(again, of_clip).values())


def test_a_recording_that_only_its_source_named_is_remembered(first: Split) -> None:
    away = split({"freesound-x": "another"}, first.assignments)
    new = {f"pack-{number}": f"tape {number}" for number in range(300)}
    back = split(new, away.assignments)
    of_clip = {clip: f"freesound-{clip.removeprefix('pack-')}a" for clip in new}
    assert all(old == part for old, part in renamed(back, of_clip).values())
    # Not if a list says since then that the clips are of other recordings.
    rows = [{"clip_id": clip, "recording": f"own {clip}"} for clip in OF_THREE]
    rows += [{"clip_id": clip, "recording": name} for clip, name in new.items()]
    listed = split_by_recording(manifest(new), RECORDINGS.from_rows(rows), SETTINGS, away.assignments, NOW)
    assert any(old != part for old, part in renamed(listed, of_clip).values())


def test_what_an_older_version_wrote_gets_the_samples_of_the_clips_that_are_there(first: Split) -> None:
    names = SPLIT_ASSIGNMENTS.arrow.names
    old = first.assignments.set_column(
        names.index("materials"),
        SPLIT_ASSIGNMENTS.arrow.field("materials"),
        pa.nulls(first.assignments.num_rows, pa.list_(pa.string())),
    )
    left = {clip: name for clip, name in OF_THREE.items() if not clip.endswith("a")}
    # A run fills those of every seed.
    other = split(left, old, SplitSettings(seed="another")).assignments.to_pylist()
    filled = {(row["clip_id"], row["seed"]) for row in other if row["materials"]}
    assert filled == {(clip, seed) for clip in left for seed in (SETTINGS.seed, "another")}
    after = split(left, old)
    assert sides(after.manifest).items() <= sides(first.manifest).items()
    known = {row["clip_id"]: row["materials"] for row in after.assignments.to_pylist()}
    assert {clip for clip, materials in known.items() if materials} == left.keys()
    assert known["freesound-7b"] == [
        "recording:tape 7",
        "samples:" + manifest_row("freesound-7b")["samples_sha256"],
    ]


def test_two_recordings_that_turn_out_to_be_one_go_to_the_test(first: Split) -> None:
    before = sides(first.manifest)
    of = {
        side: next(name for clip, name in OF_THREE.items() if before[clip] == side)
        for side in before.values()
    }
    joined = {clip: of["test"] if name == of["train"] else name for clip, name in OF_THREE.items()}
    after = split(joined, first.assignments)
    moved = {row["clip_id"]: (row["before"], row["split"]) for row in after.moved.to_pylist()}
    assert moved == {clip: ("train", "test") for clip, name in OF_THREE.items() if name == of["train"]}
    assert {row["because"] for row in after.moved.to_pylist()} == {
        min(clip for clip, name in OF_THREE.items() if name == of["test"])
    }
    written = {row["clip_id"]: row for row in after.assignments.to_pylist()}
    assert all(
        (written[clip]["origin"], written[clip]["moved_from"]) == ("joined", "train") for clip in moved
    )
    assert len(written) == len(OF_THREE)
    # The list is corrected: a clip that was in the test stays there.
    corrected = split(OF_THREE, after.assignments)
    assert sides(corrected.manifest) == sides(after.manifest) and not corrected.moved.num_rows
    # Of validation and train, validation.
    joined = {clip: of["validation"] if name == of["train"] else name for clip, name in OF_THREE.items()}
    assert {row["split"] for row in split(joined, first.assignments).moved.to_pylist()} == {"validation"}


def test_each_seed_has_its_own_split_and_other_shares_apply_to_new_recordings(first: Split) -> None:
    other = split(OF_THREE, first.assignments, SplitSettings(seed="another"))
    assert sides(other.manifest) != sides(first.manifest) and not other.moved.num_rows
    assert other.assignments.num_rows == 2 * len(OF_THREE)
    all_test = SplitSettings(test_share=0.99, validation_share=0)
    new = {f"freesound-new{number}": f"new {number}" for number in range(50)}
    again = split({**OF_THREE, **new}, other.assignments, all_test)
    assert sides(first.manifest).items() <= sides(again.manifest).items()
    assert sum(sides(again.manifest)[clip] == "test" for clip in new) > 40
    assert sides(split(OF_THREE, again.assignments, SplitSettings(seed="another")).manifest) == sides(
        other.manifest
    )


def test_a_list_that_joins_everything_is_refused(first: Split) -> None:
    with pytest.raises(FarFewerRows, match=r"\d+ of \d+ train clips would leave .*WAVCAPS_RECORDINGS_URL"):
        require_train(split(dict.fromkeys(OF_THREE, "tape"), first.assignments), 0.5)
    require_train(split(OF_THREE, first.assignments), 0.5)


def test_the_check_sees_a_clip_that_moved(first: Split) -> None:
    assert check_split_kept(first.manifest, first.assignments).passed
    table = first.manifest
    turned = pa.array(["train" if side == "test" else side for side in table["split"].to_pylist()])
    moved = table.set_column(table.column_names.index("split"), "split", turned)
    verdict = check_split_kept(moved, first.assignments)
    assert not verdict.passed
    assert verdict.numbers["elsewhere"] == sum(side == "test" for side in sides(table).values())


@pytest.fixture
def old(tmp_path: Path) -> TableStore:
    """A store that an older version wrote, whose split is not written down."""
    with tarfile.open(ARCHIVE) as archive:
        members = [member for member in archive.getmembers() if "/tables/" in member.name]
        archive.extractall(tmp_path, members, filter="data")
    (root,) = tmp_path.rglob("tables")
    return TableStore(Store(root.parent))


def materialize(tables: TableStore, **tags: str) -> dg.ExecuteInProcessResult:
    settings = Settings(store=str(tables.store.root))
    return dg.materialize(
        [*training_set_assets(settings), *training_set_checks(), dg.AssetSpec("wavcaps")],
        selection=[dg.AssetKey("training_manifest")],
        resources=resources(settings),
        tags=tags,
        raise_on_error=False,
    )


@pytest.mark.slow
def test_an_old_stores_split_is_adopted_as_it_is(old: TableStore) -> None:
    before = old.read(["training_manifest"], [WHOLE])
    # As if an older version had drawn it otherwise: today's draw would move these clips.
    turned = {"train": "test", "test": "validation", "validation": "train"}
    column = pa.array([turned[side] for side in before["split"].to_pylist()])
    before = before.set_column(before.column_names.index("split"), "split", column)
    old.write(["training_manifest"], None, before)
    for _ in range(2):
        result = materialize(old)
        assert result.success and all(check.passed for check in result.get_asset_check_evaluations())
        assert sides(old.read(["training_manifest"], [WHOLE])) == sides(before)
    written = old.read(ASSIGNMENTS_KEY, [WHOLE])
    assert set(written["origin"].to_pylist()) == {"adopted"}
    assert check_recordings_apart(before, old.read(["recordings"]), old.read(["wavcaps"])).passed


@pytest.mark.slow
def test_a_run_with_a_wrong_list_keeps_the_split_and_a_person_can_insist(old: TableStore) -> None:
    table = old.read(["training_manifest"], [WHOLE])
    one = table["recording"][0].as_py()
    column = pa.array(["test" if name == one else "train" for name in table["recording"].to_pylist()])
    old.write(
        ["training_manifest"], None, table.set_column(table.column_names.index("split"), "split", column)
    )
    assert materialize(old).success
    before = {key: old.read(key, [WHOLE]) for key in (ASSIGNMENTS_KEY, ("training_manifest",))}
    clips = old.read(["wavcaps"])["clip_id"].to_pylist()
    wrong = RECORDINGS.from_rows({"clip_id": clip, "recording": "everything"} for clip in clips)
    old.write(["recordings"], None, wrong)
    assert not materialize(old).success
    assert all(old.read(key, [WHOLE]).equals(table) for key, table in before.items())
    assert materialize(old, **{ALLOW_FEWER_ROWS: "yes"}).success
    assert set(sides(old.read(["training_manifest"], [WHOLE])).values()) == {"test"}


def test_a_damaged_table_of_assignments_is_made_again_from_the_split(old: TableStore, first: Split) -> None:
    old.write(ASSIGNMENTS_KEY, None, first.assignments)
    path = old.store.path("tables/split_assignments/all.parquet")
    path.write_bytes(path.read_bytes()[:100])
    assert sides(read_assignments(old, "wavcaps")) == sides(old.read(["training_manifest"], [WHOLE]))
