"""An experiment's checkpoint: its weights in the store, and the row that says how they came to be.

Each run has a folder of its own in the store, and the row says which. So a run that fails leaves what the row
speaks of as it was.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.store.storage import MissingFile, Store, StoreError, open_store
from wavcaps_assets.tables.asset_tables import WHOLE, OtherVersion, TableStore
from wavcaps_training.data import AudioFiles
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.executor.locks import try_lock
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.settings.captioner import CaptionerTrainingSettings
from wavcaps_training.settings.training import TrainingSettings
from wavcaps_training.tables import CHECKPOINT
from wavcaps_training.training.launching import LaunchError, launch
from wavcaps_training.training.result import RESULT, TENSORBOARD, UNTRAINED_WEIGHTS, WEIGHTS, read_result
from wavcaps_training.training.run_copy import RunCopy
from wavcaps_training.training.state import STATE
from wavcaps_training.training.train import run_of, train
from wavcaps_training.training.worker import EPOCH_DONE, Job, read_failure

LOCK = ".lock"
# How often processes that train together are started anew when one of them dies.
RESTARTS = 3
# How long a run waits for another of the same asset to end. Those that were killed take some seconds.
PATIENCE_S = 30.0


class AlreadyTraining(RuntimeError):
    """Another process trains the same asset."""


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
        manifest: `tables.TRAINING_MANIFEST`.
        place: the store, which audio and weights are relative to.
        device: `cpu` or `cuda`.
        devices: how many of them train together, each in a process of its own.
        initial_weights: the checkpoint to begin with, relative to the store.
        say: told a line an epoch.

    Returns:
        `tables.CHECKPOINT`, one row.

    Raises:
        TrainingError, Stopped, AudioReadError, CheckpointError, StoreError: as `train` does.
        AlreadyTraining: another process of this machine trains the same.
        LaunchError: several devices, and their processes did not come to an end.
    """
    store, folder = place.open(), f"checkpoints/{experiment.name}"
    root = store.root if store.is_folder else place.work
    version = rows_sha256(manifest)
    with ExitStack() as stack:
        lock = stack.enter_context(_only_one(root / folder, experiment.name))
        initial = stack.enter_context(store.reading(initial_weights)) if initial_weights is not None else None
        run = run_of(settings, version, initial)
        folder = f"{folder}/{_name_of(run, _recorded(store, experiment))}"
        row = read_result(store, f"{folder}/{RESULT}", run)
        if row is not None:
            say("this training was done before, and its row was not recorded: nothing is trained again")
            store.remove(f"{folder}/{STATE}")
        else:
            output = root / folder
            copy = None if store.is_folder else RunCopy(store, folder, output, say)
            if copy is not None:
                copy.fetch()
            if devices > 1:
                copy_to = folder if copy is not None else ""
                _train_on_several(
                    settings, manifest, place, output, copy_to, device, devices, initial, say, lock.fileno()
                )
            else:
                after_save = copy.save if copy is not None else _nothing
                audio = AudioFiles(store)
                train(
                    manifest,
                    audio,
                    settings,
                    output,
                    device,
                    lambda entry: say(told(entry)),
                    initial,
                    say,
                    after_save,
                )
            row = read_result(Store(output), RESULT, run)
            if copy is not None:
                copy.finish()
    assert row is not None
    return CHECKPOINT.from_rows(
        [
            {
                "model": experiment.model,
                "setting": experiment.setting,
                "settings_json": settings.model_dump_json(),
                "manifest_sha256": version,
                "weights_path": f"{folder}/{WEIGHTS}",
                "untrained_weights_path": f"{folder}/{UNTRAINED_WEIGHTS}",
                "tensorboard_path": f"{folder}/{TENSORBOARD}",
                **row,
            }
        ]
    )


def _recorded(store: Store, experiment: Experiment) -> str:
    """Where the weights are of which the experiment's row speaks; empty: it has none that can be read."""
    try:
        row = TableStore(store).read(["checkpoint", experiment.model, experiment.setting], [WHOLE])
    except (MissingFile, OtherVersion):
        return ""
    return str(row["weights_path"][0].as_py())


def _name_of(run: str, recorded: str) -> str:
    """What a run's folder is called: by what it is, and by what its row is going to replace.

    So a run that was interrupted finds its folder again until its row is recorded. After that the same run
    has another folder, and what the row speaks of stays as it is.
    """
    return hashlib.sha256(f"{run} {recorded}".encode()).hexdigest()[:16]


@contextmanager
def _only_one(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Keeps other processes of this machine from training the same.

    Raises:
        AlreadyTraining: one does.
        StoreError: there is no right to write.
    """
    deadline = time.monotonic() + PATIENCE_S
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while (lock := try_lock(folder / LOCK)) is None:
            if time.monotonic() > deadline:
                raise AlreadyTraining(
                    f"checkpoint/{name} is being trained by another run on this machine: wait until that run "
                    f"has ended, or terminate it. It holds the lock {folder / LOCK}"
                )
            time.sleep(0.5)
    except OSError as error:
        raise StoreError(
            f"cannot lock {folder / LOCK}: {error}; who trains must be allowed to write there"
        ) from error
    with lock:
        yield lock


def _nothing() -> None:
    """What is done after a save where there is nothing to do."""


def _train_on_several(
    settings: TrainingSettings | CaptionerTrainingSettings,
    manifest: pa.Table,
    place: Place,
    output: Path,
    copy_to: str,
    device: str,
    devices: int,
    initial: Path | None,
    say: Callable[[str], object],
    lock: int,
) -> None:
    """Trains in processes that train together; what they make is in `output`."""
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
            copy_to=copy_to,
            cuda=device.startswith("cuda"),
            initial_weights=initial,
            failure=folder / "failure.json",
        )
        (folder / "job.json").write_text(job.model_dump_json())

        def hear(line: str) -> None:
            failure = read_failure(job)
            if failure is not None and failure.kind != "stopped":
                # Before they are all started anew. One that was asked to stop may still be saving.
                raise failure.as_error()
            if line.startswith(EPOCH_DONE):
                line = told(json.loads(line.removeprefix(EPOCH_DONE)))
            say(line)

        try:
            arguments = [str(folder / "job.json")]
            launch("wavcaps_training.training.worker", arguments, devices, hear, RESTARTS, locks=[lock])
        except LaunchError:
            failure = read_failure(job)
            if failure is None:
                raise
            raise failure.as_error() from None


def told(entry: Mapping[str, Any]) -> str:
    """An entry of the learning curve in a line."""
    scores = ", ".join(f"{score['name']} {score['value']:.3g}" for score in entry["scores"])
    return (
        f"epoch {entry['epoch']}: loss {entry['train_loss']:.3f}, validation loss "
        f"{entry['validation_loss']:.3f}, {scores}; {entry['clips_per_second']:.1f} clips/s"
    )
