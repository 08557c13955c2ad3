"""Training from a store in a bucket: clips are read from there, and the checkpoint is written there."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from tests.support.s3 import S3Bucket
from tests.training.training.test_resume import SETTINGS, clips, manifest_of, same, warnings_in  # noqa: F401
from tests.training.training.training_places import start_training
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_training.checkpoints.checkpoint import read_origin
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.evaluation.scores import score_checkpoint
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.training.checkpoint_table import Place, train_experiment
from wavcaps_training.training.result import RESULT, UNTRAINED_WEIGHTS, WEIGHTS
from wavcaps_training.training.run_copy import RunCopy
from wavcaps_training.training.state import STATE, Position, RunState, saved_step

pytestmark = pytest.mark.slow

TWO_EPOCHS = SETTINGS.model_copy(update={"epochs": 2})


@pytest.fixture
def store(clips: Path, bucket: S3Bucket) -> Store:  # noqa: F811
    """A store in a bucket, with the audio of the clips."""
    made = Store(bucket.root, bucket.client)
    for path in clips.glob("*.flac"):
        made.write_bytes(path.name, path.read_bytes())
    return made


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_another_machine_resumes_a_killed_run_from_the_bucket(
    clips: Path,  # noqa: F811
    bucket: S3Bucket,
    store: Store,
    tmp_path: Path,
    devices: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends with the weights of a run in a folder that was not killed, and leaves nothing behind."""
    caplog.set_level(logging.INFO, "wavcaps_training")
    manifest = manifest_of(clips)
    first, second = (
        Place(bucket.root, tmp_path / name, bucket.url, devices=devices) for name in ("first", "second")
    )
    with start_training(clips, TWO_EPOCHS, first, die_after_epochs=1) as killed:
        killed.communicate()
    table = train_experiment(DEMO_EXPERIMENT, TWO_EPOCHS, manifest, second)
    assert f"fetching what an earlier run saved in {bucket.root}" in caplog.text
    assert "resuming from step" in caplog.text
    assert "epoch 1:" not in caplog.text
    (row,) = table.to_pylist()
    assert [entry["epoch"] for entry in row["learning_curve"]] == [1, 2]
    assert row["devices"] == devices

    whole = tmp_path / "whole"
    whole.mkdir()
    for path in clips.glob("*.flac"):
        (whole / path.name).symlink_to(path)
    place = Place(str(whole), tmp_path, devices=devices)
    (unbroken,) = train_experiment(DEMO_EXPERIMENT, TWO_EPOCHS, manifest, place).to_pylist()
    assert row["best_epoch"] == unbroken["best_epoch"]
    for column in ("weights_path", "untrained_weights_path"):
        with store.reading(row[column]) as path:
            assert same(load_file(path), load_file(whole / unbroken[column]))
    check_what_is_left(table, manifest, store, second)


def check_what_is_left(table: pa.Table, manifest: pa.Table, store: Store, place: Place) -> None:
    """The bucket has the finished run, which can be scored; the machine has nothing of it."""
    (row,) = table.to_pylist()
    with store.reading(row["weights_path"]) as weights:
        assert read_origin(weights).settings == TWO_EPOCHS
    assert store.sizes(row["tensorboard_path"])
    assert not list(place.work.rglob("*.safetensors"))
    folder = row["weights_path"].removesuffix(f"/{WEIGHTS}")
    assert store.sizes(folder).keys() == {WEIGHTS, UNTRAINED_WEIGHTS, RESULT}
    tested = manifest.set_column(
        manifest.column_names.index("split"), "split", [["test"] * manifest.num_rows]
    )
    scores = score_checkpoint(tested, table, store, "cpu").to_pylist()
    assert {score["model"] for score in scores} == {"trained", "untrained", "chance"}
    for score in scores:
        column = {"trained": "weights_path", "untrained": "untrained_weights_path"}.get(score["model"])
        named = (score["checkpoint"], score["weights_sha256"], score["trained_on_sha256"], score["device"])
        if column is None:
            assert named == (None, None, None, None)
            continue
        with store.reading(row[column]) as weights:
            scored = read_origin(weights).weights_sha256
        assert named == (f"{row['model']}/{row['setting']}", scored, row["manifest_sha256"], "cpu")
    assert {score["scored_on_sha256"] for score in scores} == {rows_sha256(tested)}
    assert row["manifest_sha256"] != rows_sha256(tested)


def test_a_copy_is_fetched_only_if_it_is_further(bucket: S3Bucket, tmp_path: Path) -> None:
    store = Store(bucket.root, bucket.client)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    copies = {name: RunCopy(store, "run", tmp_path / name) for name in ("here", "there")}
    states = {name: RunState(tmp_path / name, "run", copy) for name, copy in copies.items()}
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / WEIGHTS).write_bytes(b"the best")
    states["there"].save(Position(step=2), model, optimizer)
    copies["here"].fetch()
    assert states["here"].load(model, optimizer).step == 2
    assert (tmp_path / "here" / WEIGHTS).read_bytes() == b"the best"
    states["here"].save(Position(step=3), model, optimizer)
    copies["there"].fetch()
    assert saved_step(tmp_path / "there" / STATE) == 3
    # A state that could not be copied is further than the copy.
    RunState(tmp_path / "here", "run").save(Position(step=4), model, optimizer)
    copies["here"].fetch()
    assert saved_step(tmp_path / "here" / STATE) == 4


def test_a_file_that_disappears_while_a_run_is_copied_does_not_stop_it(
    bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(bucket.root, bucket.client)
    (tmp_path / "events.tmp").write_bytes(b"1")
    (tmp_path / WEIGHTS).write_bytes(b"2")
    listed = RunCopy._files_here

    def removed_after_the_listing(copy: RunCopy) -> list[Path]:
        files = listed(copy)
        (tmp_path / "events.tmp").unlink(missing_ok=True)
        return files

    monkeypatch.setattr(RunCopy, "_files_here", removed_after_the_listing)
    RunCopy(store, "run", tmp_path).save()
    assert store.sizes("run").keys() == {WEIGHTS}


def test_a_bucket_that_cannot_be_reached_does_not_stop_a_training(
    bucket: S3Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Store("s3://no-such-bucket/data", bucket.client)
    copy = RunCopy(gone, "run", tmp_path)
    model = torch.nn.Linear(2, 2)
    RunState(tmp_path, "run", copy).save(Position(step=1), model, torch.optim.Adam(model.parameters()))
    assert saved_step(tmp_path / STATE) == 1
    (warning,) = warnings_in(caplog)
    assert "was saved on this machine only" in warning
    assert "NoSuchBucket" in warning
    with pytest.raises(StoreError):
        copy.finish()
    assert (tmp_path / STATE).exists()
