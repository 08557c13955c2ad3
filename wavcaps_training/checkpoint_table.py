"""An experiment's checkpoint: its weights in the store, and the row that says how they came to be."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets import schemas
from wavcaps_assets.storage import Store, open_store
from wavcaps_training.captioner_settings import CaptionerTrainingSettings
from wavcaps_training.data import AudioFiles
from wavcaps_training.experiments import Experiment
from wavcaps_training.launching import launch
from wavcaps_training.manifest_version import rows_sha256
from wavcaps_training.settings import TrainingSettings
from wavcaps_training.train import train
from wavcaps_training.worker import EPOCH_DONE, Job

# How often processes that train together are started anew when one of them dies.
RESTARTS = 3
# What a run makes, by the names of `TrainingResult`.
MADE = ("weights", "untrained_weights", "tensorboard")


@dataclass(frozen=True)
class Place:
    """Where clips are read from, and where checkpoints go.

    Attributes:
        root: of the store: a folder, or `s3://bucket/prefix`.
        work: a folder of this machine, for what is made on the way where the store is a bucket.
        endpoint_url: root of the S3 server; empty: Amazon's.
        region: of the bucket; empty: as AWS's own settings say.
    """

    root: str
    work: Path
    endpoint_url: str = ""
    region: str = ""

    def open(self) -> Store:
        """The store."""
        return open_store(self.root, self.endpoint_url or None, self.region or None)


def train_experiment(
    experiment: Experiment,
    settings: TrainingSettings | CaptionerTrainingSettings,
    manifest: pa.Table,
    place: Place,
    device: str,
    devices: int,
    initial_weights: str | None,
    say: Callable[[str], object],
) -> pa.Table:
    """Trains a model as an experiment says.

    Args:
        experiment: what it is called.
        settings: of the model and the run.
        manifest: `schemas.TRAINING_MANIFEST`.
        place: the store, which audio and weights are relative to.
        device: `cpu` or `cuda`.
        devices: how many of them train together, each in a process of its own.
        initial_weights: the checkpoint to begin with, relative to the store.
        say: told a line an epoch.

    Returns:
        `schemas.CHECKPOINT`, one row.

    Raises:
        TrainingError, Stopped, AudioReadError, CheckpointError, StoreError: as `train` does.
        LaunchError: several devices, and their processes did not come to an end.
    """
    store, folder = place.open(), f"checkpoints/{experiment.model}/{experiment.setting}"
    output = (store.root if store.is_folder else place.work) / folder
    with ExitStack() as stack:
        initial = stack.enter_context(store.reading(initial_weights)) if initial_weights is not None else None
        if devices > 1:
            row = _train_on_several(settings, manifest, place, output, device, devices, initial, say)
        else:
            audio = AudioFiles(store)
            result = train(
                manifest, audio, settings, output, device, lambda entry: say(told(entry)), initial, say
            )
            row = asdict(result)
    made = [Path(row.pop(name)).relative_to(output).as_posix() for name in MADE]
    if not store.is_folder:
        send(output, store, folder)
    paths = {f"{name}_path": f"{folder}/{path}" for name, path in zip(MADE, made, strict=True)}
    return schemas.CHECKPOINT.from_rows(
        [
            {
                "model": experiment.model,
                "setting": experiment.setting,
                "settings_json": settings.model_dump_json(),
                "manifest_sha256": rows_sha256(manifest),
                **paths,
                **row,
            }
        ]
    )


def _train_on_several(
    settings: TrainingSettings | CaptionerTrainingSettings,
    manifest: pa.Table,
    place: Place,
    output: Path,
    device: str,
    devices: int,
    initial: Path | None,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """The fields of a `TrainingResult`, of processes that train together."""

    def hear(line: str) -> None:
        if line.startswith(EPOCH_DONE):
            line = told(json.loads(line.removeprefix(EPOCH_DONE)))
        say(line)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(manifest, folder / "manifest.parquet")
        job = Job(
            settings=settings,
            manifest=folder / "manifest.parquet",
            store=place.root,
            endpoint_url=place.endpoint_url,
            region=place.region,
            output=output,
            cuda=device.startswith("cuda"),
            initial_weights=initial,
            result=folder / "result.json",
        )
        (folder / "job.json").write_text(job.model_dump_json())
        launch("wavcaps_training.worker", [str(folder / "job.json")], devices, hear, RESTARTS)
        row: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return row


def send(output: Path, store: Store, folder: str) -> None:
    """Copies what a run made to a bucket, and then forgets it here.

    Raises:
        StoreError: the bucket cannot be written; what was made stays where it is.
    """
    for path in sorted(output.rglob("*")):
        if path.is_file():
            with store.writing(f"{folder}/{path.relative_to(output).as_posix()}") as target:
                shutil.copyfile(path, target)
    shutil.rmtree(output)


def told(entry: Mapping[str, Any]) -> str:
    """An entry of the learning curve in a line."""
    scores = ", ".join(f"{score['name']} {score['value']:.3g}" for score in entry["scores"])
    return (
        f"epoch {entry['epoch']}: loss {entry['train_loss']:.3f}, validation loss "
        f"{entry['validation_loss']:.3f}, {scores}; {entry['clips_per_second']:.1f} clips/s"
    )
