"""Training from a store in a bucket: clips come from there, and the checkpoint goes there."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from tests.support.s3 import S3Bucket
from tests.training.training.test_resume import SETTINGS, clips, same  # noqa: F401
from tests.training.training.training_places import row_of, start_training
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_training.checkpoints.files import read_origin
from wavcaps_training.evaluation.scores import score_checkpoint
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.training.checkpoint_table import Place, train_experiment
from wavcaps_training.training.result import RESULT, UNTRAINED_WEIGHTS, WEIGHTS
from wavcaps_training.training.run_copy import RunCopy
from wavcaps_training.training.state import STATE, Progress, RunState, saved_step


@pytest.fixture
def store(clips: Path, bucket: S3Bucket) -> Store:  # noqa: F811
    """A store in a bucket, with the audio of the clips."""
    made = Store(bucket.root, bucket.client)
    for path in clips.glob("*.flac"):
        made.write_bytes(path.name, path.read_bytes())
    return made


@pytest.mark.parametrize("devices", [1, 2])
def test_a_checkpoint_is_made_and_scored_in_a_bucket(
    clips: Path,  # noqa: F811
    bucket: S3Bucket,
    store: Store,
    tmp_path: Path,
    devices: int,
) -> None:
    manifest = pq.read_table(clips / "manifest.parquet")
    settings = SETTINGS.model_copy(update={"epochs": 1})
    place = Place(bucket.root, tmp_path / "work", bucket.url)
    said: list[str] = []
    table = train_experiment(DEMO_EXPERIMENT, settings, manifest, place, "cpu", devices, None, said.append)
    (row,) = table.to_pylist()
    assert row["devices"] == devices
    with store.reading(row["weights_path"]) as weights:
        assert read_origin(weights).settings == settings
    assert store.sizes(row["tensorboard_path"])
    # Nothing is left on this machine.
    assert not list((tmp_path / "work").rglob("*.safetensors"))
    # Nor where the run was, in the bucket.
    folder = row["weights_path"].removesuffix(f"/{WEIGHTS}")
    assert store.sizes(folder).keys() == {WEIGHTS, UNTRAINED_WEIGHTS, RESULT}
    tested = manifest.set_column(
        manifest.column_names.index("split"), "split", [["test"] * manifest.num_rows]
    )
    scores = score_checkpoint(tested, table, store, "cpu").to_pylist()
    assert {score["model"] for score in scores} == {"trained", "untrained", "chance"}


@pytest.mark.parametrize("devices", [1, 2])
def test_another_machine_goes_on_where_a_killed_one_was(
    clips: Path,  # noqa: F811
    bucket: S3Bucket,
    store: Store,
    tmp_path: Path,
    devices: int,
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 3})
    places = {name: Place(bucket.root, tmp_path / name, bucket.url) for name in ("first", "second")}
    with start_training(clips, settings, places["first"], devices=devices, die_after_epochs=2) as killed:
        killed.communicate()
    with start_training(clips, settings, places["second"], devices=devices) as other:
        row, output = row_of(other)
    assert f"fetches what an earlier run saved in {bucket.root}" in output
    assert "goes on from step" in output
    assert "epoch 1:" not in output
    assert [entry["epoch"] for entry in row["learning_curve"]] == [1, 2, 3]
    whole = tmp_path / "whole"
    whole.mkdir()
    for path in clips.glob("*.flac"):
        (whole / path.name).symlink_to(path)
    with start_training(clips, settings, Place(str(whole), tmp_path), devices=devices) as training:
        unbroken, _ = row_of(training)
    assert row["best_epoch"] == unbroken["best_epoch"]
    for column in ("weights_path", "untrained_weights_path"):
        with store.reading(row[column]) as path:
            assert same(load_file(path), load_file(whole / unbroken[column]))


def test_a_copy_is_taken_only_where_it_is_further(bucket: S3Bucket, tmp_path: Path) -> None:
    store = Store(bucket.root, bucket.client)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    said: list[str] = []
    copies = {name: RunCopy(store, "run", tmp_path / name, said.append) for name in ("here", "there")}
    states = {name: RunState(tmp_path / name, "run", said.append, copy.save) for name, copy in copies.items()}
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / WEIGHTS).write_bytes(b"the best")
    states["there"].save(Progress(step=2), model, optimizer)
    copies["here"].fetch()
    assert states["here"].load(model, optimizer).step == 2
    assert (tmp_path / "here" / WEIGHTS).read_bytes() == b"the best"
    states["here"].save(Progress(step=3), model, optimizer)
    copies["there"].fetch()
    assert saved_step(tmp_path / "there" / STATE) == 3
    # What could not be sent is the further of the two.
    RunState(tmp_path / "here", "run", said.append).save(Progress(step=4), model, optimizer)
    copies["here"].fetch()
    assert saved_step(tmp_path / "here" / STATE) == 4


def test_a_bucket_that_cannot_be_reached_does_not_stop_a_training(bucket: S3Bucket, tmp_path: Path) -> None:
    said: list[str] = []
    gone = Store("s3://no-such-bucket/data", bucket.client)
    copy = RunCopy(gone, "run", tmp_path, said.append)
    model = torch.nn.Linear(2, 2)
    RunState(tmp_path, "run", said.append, copy.save).save(
        Progress(step=1), model, torch.optim.Adam(model.parameters())
    )
    assert saved_step(tmp_path / STATE) == 1
    assert "was saved on this machine only" in said[0]
    assert "NoSuchBucket" in said[0]
    with pytest.raises(StoreError):
        copy.finish()
    assert (tmp_path / STATE).exists()
