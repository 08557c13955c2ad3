"""Training from a store in a bucket: clips come from there, and the checkpoint goes there."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.s3 import S3Bucket
from tests.training.test_resume import SETTINGS, clips  # noqa: F401
from wavcaps_assets.storage import Store
from wavcaps_training.checkpoint_table import Place, train_experiment
from wavcaps_training.checkpoints import read_origin
from wavcaps_training.experiments import DEMO_EXPERIMENT
from wavcaps_training.scores import score_checkpoint


@pytest.mark.parametrize("devices", [1, 2])
def test_a_checkpoint_is_made_and_scored_in_a_bucket(
    clips: Path,  # noqa: F811
    bucket: S3Bucket,
    tmp_path: Path,
    devices: int,
) -> None:
    store = Store(bucket.root, bucket.client)
    for path in clips.glob("*.flac"):
        store.write_bytes(path.name, path.read_bytes())
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
    tested = manifest.set_column(
        manifest.column_names.index("split"), "split", [["test"] * manifest.num_rows]
    )
    scores = score_checkpoint(tested, table, store, "cpu").to_pylist()
    assert {score["model"] for score in scores} == {"trained", "untrained", "chance"}
