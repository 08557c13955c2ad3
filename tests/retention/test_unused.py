"""What is removed, and above all what is not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pytest

from tests.support.rows import audio_row, manifest_row
from tests.support.s3 import S3Bucket
from wavcaps_assets.defs import retention
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.retention import remove_unused_files
from wavcaps_assets.retention.disk_use import disk_use
from wavcaps_assets.retention.unused import COPIES, find_unused
from wavcaps_assets.settings import ExtraCopy
from wavcaps_assets.store.storage import MissingFile, Store, StoredFile
from wavcaps_assets.tables import AUDIO, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.tables import CHECKPOINT, LATENTS
from wavcaps_training.worth.seed_runs import RUNS

DAY = 86_400
NOW = time.time()
AUDIO_KEY, MONTH = ["freesound", "audio"], "2022-11"
OLD_RUN, RUN = "checkpoints/htsat_bert/demo/0ld", "checkpoints/htsat_bert/demo/n3w"


def flac(clip: str, partition: str = MONTH) -> str:
    return f"audio/freesound/{partition}/{clip}.flac"


def put(store: Store, path: str, days_old: float) -> None:
    store.write_bytes(path, b"12345")
    os.utime(store.path(path), (NOW, NOW - days_old * DAY))


def write_audio(store: Store, clips: Iterable[str], days_old: float) -> None:
    rows = [audio_row(clip, audio_path=flac(clip)) for clip in clips]
    TableStore(store).write(AUDIO_KEY, MONTH, AUDIO.from_rows(rows))
    os.utime(store.path(f"tables/freesound/audio/{MONTH}.parquet"), (NOW, NOW - days_old * DAY))


def write_checkpoint(store: Store) -> None:
    row = dict.fromkeys(CHECKPOINT.arrow.names)
    paths = {name: f"{RUN}/{name.removesuffix('_path')}" for name in row if name.endswith("_path")}
    assert set(paths) == {"weights_path", "untrained_weights_path", "tensorboard_path"}
    of_type = {"string": "x", "double": 1.0, "int32": 1, "int64": 1}
    filled = {
        field.name: paths.get(field.name, of_type.get(str(field.type), [])) for field in CHECKPOINT.arrow
    }
    TableStore(store).write(["checkpoint", "htsat_bert", "demo"], None, CHECKPOINT.from_rows([filled]))


def unused(store: Store, days: float = 7) -> list[str]:
    return [file.path for file in find_unused(store, store.files(), NOW - days * DAY)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A month whose table is 20 days old; `kept` is in it, `gone` was in the one before."""
    store = Store(tmp_path / "store")
    for clip in ("kept", "gone"):
        put(store, flac(clip), 40)
        put(store, flac(clip).replace("audio/", "audio_original/").replace(".flac", ".wav"), 40)
    write_audio(store, ["kept"], 20)
    return store


def test_the_audio_of_a_clip_that_is_gone_is_unused_with_its_copy(store: Store) -> None:
    assert unused(store) == [flac("gone"), "audio_original/freesound/2022-11/gone.wav"]
    assert unused(store, days=50) == []


def test_old_seeds_of_comparisons_are_unused_and_their_pages_are_not(store: Store) -> None:
    old, new = (f"{RUNS}/{digit * 32}.npz" for digit in "ab")
    for path, days in ((old, 40), (new, 3), ("worth/0123456789ab.html", 40), (f"{RUNS}/mine.npz", 40)):
        put(store, path, days)
    assert [path for path in unused(store) if path.startswith("worth/")] == [old]


def test_latents_that_were_made_again_are_unused(store: Store) -> None:
    row = {**dict.fromkeys(("latents_sha256", "autoencoder", "autoencoder_path", "autoencoder_sha256"), "a")}
    row |= dict.fromkeys(("conditioned_by", "conditioned_by_path", "conditioned_by_sha256"), "b")
    numbers: dict[str, Any] = {"clips": 1, "unreadable_clips": [], "shape": [4, 16, 16], "width": 8}
    old, new, just_made = (f"latents/{digit * 16}.safetensors" for digit in "abc")
    table = LATENTS.from_rows([{**row, **numbers, "latents_path": new}])
    TableStore(store).write(["latents", "audioldm"], None, table)
    for path, days in ((old, 40), (new, 40), (just_made, 3), ("latents/mine.safetensors", 40)):
        put(store, path, days)
    assert [path for path in unused(store) if path.startswith("latents/")] == [old]


def test_every_kind_of_copy_is_known() -> None:
    folders = [kind.folder for kind in ExtraCopy if kind is not ExtraCopy.none]
    assert folders and all(folder.startswith(COPIES) for folder in folders)


def test_files_that_the_project_did_not_write_are_kept(store: Store) -> None:
    own = (
        "checkpoints/released.safetensors",
        "checkpoints/htsat_bert/mine.pt",
        "checkpoints/htsat_bert/demo/README.md",
        "audio_backup/freesound/2022-11/gone.wav",
        "audio/freesound/gone.flac",
    )
    for path in own:
        put(store, path, 60)
    assert unused(store) == [flac("gone"), "audio_original/freesound/2022-11/gone.wav"]


def test_a_clip_is_kept_as_long_as_any_table_names_it(store: Store) -> None:
    TableStore(store).write(
        ["wavcaps"], None, MANIFEST.from_rows([manifest_row("gone", audio_path=flac("gone"))])
    )
    assert unused(store) == []


def test_audio_of_a_fetch_that_has_not_ended_is_kept(store: Store) -> None:
    put(store, flac("fetched-after-the-table"), 15)
    put(store, flac("of-a-month-without-a-table", "2022-12"), 40)
    assert unused(store) == [flac("gone"), "audio_original/freesound/2022-11/gone.wav"]


def test_a_checkpoint_that_was_replaced_is_unused_as_a_whole(store: Store) -> None:
    for run in (OLD_RUN, RUN):
        for name in ("weights.safetensors", "untrained.safetensors", "tensorboard/events", "result.json"):
            put(store, f"{run}/{name}", 40)
    write_checkpoint(store)
    removable = [path for path in unused(store) if path.startswith("checkpoints/")]
    assert removable == sorted(path.path for path in store.files() if path.path.startswith(OLD_RUN))
    assert len(removable) == 4
    # A training run that was interrupted last week can be resumed.
    put(store, f"{OLD_RUN}/progress.pt", 2)
    assert [path for path in unused(store) if path.startswith("checkpoints/")] == []


@pytest.mark.parametrize("linked", ["tables", "tables/checkpoint", "audio", "checkpoints"])
def test_folders_on_another_disk_are_a_part_of_the_store(store: Store, tmp_path: Path, linked: str) -> None:
    for run in (OLD_RUN, RUN):
        put(store, f"{run}/weights.safetensors", 40)
    write_checkpoint(store)
    there = tmp_path / "other disk"
    store.path(linked).rename(there)
    store.path(linked).symlink_to(there)
    # Links in a circle, and back to the store.
    (there / "circle").symlink_to(there)
    (there / "back").symlink_to(tmp_path / "store")
    assert unused(store) == [
        flac("gone"),
        "audio_original/freesound/2022-11/gone.wav",
        f"{OLD_RUN}/weights.safetensors",
    ]


def test_the_room_is_counted_by_folder(store: Store) -> None:
    files = list(store.files())
    table = disk_use(files, find_unused(store, files, NOW))
    rows = {row["folder"]: row for row in table.to_pylist()}
    assert (rows["audio"]["files"], rows["audio"]["bytes"]) == (2, 10)
    assert (rows["audio"]["unused_files"], rows["audio"]["unused_bytes"]) == (1, 5)
    assert rows["audio_original"]["kind"] == "copies of the originals"
    assert rows["tables"]["unused_files"] == 0
    total = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    assert pc.sum(table.column("bytes")).as_py() == total


def test_a_bucket_is_judged_like_a_folder(bucket: S3Bucket) -> None:
    store = Store(bucket.root, bucket.client)
    for clip in ("kept", "gone"):
        store.write_bytes(flac(clip), b"12345")
    # A bucket's times are in whole seconds, and a file of the table's second is kept.
    time.sleep(1.1)
    rows = [audio_row("kept", audio_path=flac("kept"))]
    TableStore(store).write(AUDIO_KEY, MONTH, AUDIO.from_rows(rows))
    later = time.time() + DAY
    (found,) = find_unused(store, store.files(), later)
    assert (found.path, found.size) == (flac("gone"), 5)
    store.remove_files([found.path])
    assert find_unused(store, store.files(), later) == []
    assert store.read_bytes(flac("kept")) == b"12345"


def run_job(store: Store, instance: dg.DagsterInstance, **config: object) -> dg.ExecuteInProcessResult:
    return remove_unused_files.execute_in_process(
        run_config={"ops": {"remove_unused": {"config": config}}},
        resources={"store": StoreResource(root=str(store.root))},
        instance=instance,
        raise_on_error=False,
    )


def test_the_job_lists_first_and_removes_when_told(store: Store) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        before = {file.path for file in store.files()}
        assert run_job(store, instance).success
        assert {file.path for file in store.files()} == before
        assert run_job(store, instance, dry_run=False).success
    assert before - {file.path for file in store.files()} == {
        flac("gone"),
        "audio_original/freesound/2022-11/gone.wav",
    }
    with pytest.raises(MissingFile):
        store.read_bytes(flac("gone"))


@pytest.mark.parametrize("ended", [False, True])
def test_nothing_is_removed_when_a_run_has_begun_while_the_tables_were_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        def meanwhile(*given: Any) -> list[StoredFile]:
            found = find_unused(*given)
            run = instance.create_run_for_job(remove_unused_files)
            if ended:
                instance.report_run_failed(run, "ended")
            return found

        monkeypatch.setattr(retention, "find_unused", meanwhile)
        assert not run_job(store, instance, dry_run=False).success
    assert store.exists(flac("gone"))


def test_nothing_is_removed_while_another_run_is_in_progress(store: Store) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        other = instance.create_run_for_job(remove_unused_files)
        instance.report_run_failed(other, "ended")
        assert run_job(store, instance, dry_run=False, unused_for_days=100.0).success
        instance.create_run_for_job(remove_unused_files)
        assert not run_job(store, instance, dry_run=False).success
    assert store.exists(flac("gone"))
