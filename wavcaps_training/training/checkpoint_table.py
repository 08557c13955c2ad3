"""An experiment's checkpoint: its weights in the store, and the row that says how they came to be.

Each run has its own folder in the store, and the row names it. So a run that fails does not change what the
row refers to.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from wavcaps_assets.show.progress import Progress
from wavcaps_assets.store.row_hash import LENGTH, rows_hash
from wavcaps_assets.store.storage import MissingFile, Store, StoreError, open_store
from wavcaps_assets.tables.asset_tables import WHOLE, NewerVersion, OtherVersion, TableStore, set_version_of
from wavcaps_training.checkpoints.checkpoint import read_origin
from wavcaps_training.data import AudioFiles
from wavcaps_training.data.latents import GenerationInputs
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.evaluation.clip_features import known_features
from wavcaps_training.executor.locks import try_lock
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.settings.captioner import AnyTrainingSettings
from wavcaps_training.tables import CHECKPOINT
from wavcaps_training.training.launching import LaunchError, launch
from wavcaps_training.training.result import RESULT, TENSORBOARD, UNTRAINED_WEIGHTS, WEIGHTS, read_result
from wavcaps_training.training.run_copy import RunCopy
from wavcaps_training.training.state import STATE
from wavcaps_training.training.train import NO_PROGRESS, RunOptions, run_of, train, with_inputs
from wavcaps_training.training.worker import WORKER, EpochReader, Job, read_failure, write_job

LOCK = ".lock"
# How often processes that train together are restarted when one of them dies.
RESTARTS = 3
# How long a run waits for another run of the same asset to end. A killed one takes some seconds.
PATIENCE_S = 30.0

logger = logging.getLogger(__name__)


class AlreadyTraining(RuntimeError):
    """Another process is training the same asset."""


@dataclass(frozen=True)
class Place:
    """Where a training takes place: the store that it reads and writes, and what of this machine it uses.

    Attributes:
        root: of the store: a folder, or `s3://bucket/prefix`.
        work: a folder of this machine for unfinished runs, if the store is a bucket.
        endpoint_url: root of the S3 server; empty: Amazon's.
        region: of the bucket; empty: from AWS's own configuration.
        device: `cpu` or `cuda`.
        devices: how many of them train together, each in a process of its own.
    """

    root: str
    work: Path
    endpoint_url: str = ""
    region: str = ""
    device: str = "cpu"
    devices: int = 1

    def open(self) -> Store:
        """The store. Its requests wait for a server that does not answer: training goes on afterwards."""
        return open_store(self.root, self.endpoint_url or None, self.region or None, waits=True)


def train_experiment(
    experiment: Experiment,
    settings: AnyTrainingSettings,
    manifest: pa.Table,
    place: Place,
    initial_weights: str | None = None,
    progress: Progress = NO_PROGRESS,
    embeddings: pa.Table | None = None,
    made_of: tuple[str, str] | None = None,
) -> pa.Table:
    """Trains the model of an experiment.

    Args:
        experiment: names the run's folder and the row.
        settings: of the model and the run.
        manifest: `tables.TRAINING_MANIFEST`.
        place: the store, which audio and weights are relative to, and the devices.
        initial_weights: the checkpoint to start from, relative to the store; None: fresh weights.
        progress: follows the steps and the epochs, as in `RunOptions`.
        embeddings: `tables.AUDIO_EMBEDDINGS` of the clips, for a pretrained audio encoder; what is not there
            is computed, and so is everything on several devices.
        made_of: for a latent diffusion model, its autoencoder's checkpoint and its latents, relative to the
            store.

    Returns:
        `tables.CHECKPOINT`, one row.

    Raises:
        TrainingError, Stopped, AudioReadError, CheckpointError, StoreError: as `train` does.
        AlreadyTraining: another process of this machine trains the same asset.
        LaunchError: the processes of several devices failed.
    """
    store, folder = place.open(), f"checkpoints/{experiment.name}"
    root = store.root if store.is_folder else place.work
    version = rows_sha256(manifest)
    with ExitStack() as stack:
        lock = stack.enter_context(_only_one(root / folder, experiment.name))
        _remove_unfinished(root / folder)
        initial = stack.enter_context(store.reading(initial_weights)) if initial_weights is not None else None
        inputs = None
        if made_of is not None:
            inputs = GenerationInputs(*(stack.enter_context(store.reading(path)) for path in made_of))
        settings = with_inputs(settings, inputs)
        run = run_of(settings, version, initial)
        folder = f"{folder}/{_name_of(run, _recorded(store, experiment))}"
        row = read_result(store, f"{folder}/{RESULT}", run)
        if row is not None:
            logger.info("this run is done and its row was not recorded: nothing is trained again")
            store.remove(f"{folder}/{STATE}")
        else:
            output = root / folder
            copy = None if store.is_folder else RunCopy(store, folder, output)
            if copy is not None:
                copy.fetch()
            if place.devices > 1:
                job = _job_of(settings, place, output, folder if copy is not None else "", initial)
                job = job.model_copy(update={"inputs": inputs})
                _train_on_several(job, manifest, place.devices, lock.fileno(), progress)
            else:
                features = known_features(embeddings, settings)
                options = RunOptions(place.device, initial, progress, copy, features, inputs)
                train(manifest, AudioFiles(store), settings, output, options)
            row = read_result(Store(output), RESULT, run)
            if copy is not None:
                copy.finish()
    assert row is not None
    return CHECKPOINT.from_rows(
        [
            {
                "model": experiment.model.name,
                "setting": experiment.setting,
                "settings_json": settings.model_dump_json(),
                "manifest_sha256": version,
                # A run that was done before says itself what it was trained on; older versions did not.
                "set_version": set_version_of(manifest),
                "weights_path": f"{folder}/{WEIGHTS}",
                "untrained_weights_path": f"{folder}/{UNTRAINED_WEIGHTS}",
                "tensorboard_path": f"{folder}/{TENSORBOARD}",
                **row,
            }
        ]
    )


def checkpoint_version(table: pa.Table, weights: Path) -> str:
    """A hash of what a training gave: the same for two that gave the same weights, at any speed.

    Args:
        table: `tables.CHECKPOINT`.
        weights: the file of its weights.
    """
    rows = rows_hash(table, CHECKPOINT)
    return hashlib.sha256(f"{rows} {read_origin(weights).weights_sha256}".encode()).hexdigest()[:LENGTH]


def _recorded(store: Store, experiment: Experiment) -> str:
    """The path of the weights in the experiment's row; empty: there is no row that can be read."""
    try:
        row = TableStore(store).read(experiment.key, [WHOLE])
    except NewerVersion:
        raise
    except (MissingFile, OtherVersion):
        return ""
    return str(row["weights_path"][0].as_py()) if row.num_rows else ""


def _name_of(run: str, recorded: str) -> str:
    """The name of a run's folder: a hash of its identity and of the row that it replaces.

    So an interrupted run finds its folder again until its row is recorded. After that, the same run gets
    another folder, and what the row refers to does not change.
    """
    return hashlib.sha256(f"{run} {recorded}".encode()).hexdigest()[:16]


@contextmanager
def _only_one(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Prevents other processes of this machine from training the same asset.

    Raises:
        AlreadyTraining: another process is training it.
        StoreError: writing is not permitted.
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
            f"cannot lock {folder / LOCK}: {error}; give the user who trains the right to write there"
        ) from error
    with lock:
        yield lock


def _remove_unfinished(folder: Path) -> None:
    """Removes the files that killed runs were writing (see `Folder.writing`). Nobody else writes here now."""
    for path in folder.rglob(".*.part*"):
        path.unlink(missing_ok=True)


def _job_of(
    settings: AnyTrainingSettings, place: Place, output: Path, copy_to: str, initial: Path | None
) -> Job:
    return Job(
        settings=settings,
        store=place.root,
        endpoint_url=place.endpoint_url,
        region=place.region,
        output=output,
        copy_to=copy_to,
        cuda=place.device.startswith("cuda"),
        initial_weights=initial,
    )


def _train_on_several(job: Job, manifest: pa.Table, devices: int, lock: int, progress: Progress) -> None:
    """Trains in processes that train together; the result is in the job's output folder.

    Args:
        job: what they train.
        manifest: `tables.TRAINING_MANIFEST`.
        devices: how many processes there are.
        lock: file descriptor of the lock that they hold.
        progress: follows the epochs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_job(job, manifest, folder)
        epochs = EpochReader(folder, progress)

        def read_line(line: str) -> None:
            failure = read_failure(folder)
            if failure is not None and failure.kind != "stopped":
                # Raised before all are restarted. A process that was asked to stop may still be saving.
                raise failure.as_error()
            epochs.pass_on()
            logger.info(line)

        try:
            launch([WORKER, str(folder)], devices, read_line, RESTARTS, locks=[lock])
            epochs.pass_on()
        except LaunchError:
            failure = read_failure(folder)
            if failure is None:
                raise
            raise failure.as_error() from None
