"""One of the processes that train together: `python -m wavcaps_training.training.worker FOLDER`."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.show.progress import Facts, Progress
from wavcaps_assets.store.storage import StoreError, open_store
from wavcaps_training.data import AudioFiles, AudioReadError
from wavcaps_training.data.latents import GenerationInputs
from wavcaps_training.executor.step_process import stop_with_parent
from wavcaps_training.settings.captioner import AnyTrainingSettings
from wavcaps_training.tasks.base import TrainingError
from wavcaps_training.training.distributed import is_first, local_rank
from wavcaps_training.training.final_errors import FINAL_ERRORS
from wavcaps_training.training.launching import LaunchError
from wavcaps_training.training.run import Stopped
from wavcaps_training.training.run_copy import RunCopy
from wavcaps_training.training.train import RunOptions, train

WORKER = "wavcaps_training.training.worker"
# Files in a job's folder.
JOB, MANIFEST, FAILURE = "job.json", "manifest.parquet", "failure.json"
# The learning curve, one JSON object a line. It is not printed, because processes that share an output can
# write into each other's lines.
EPOCHS = "epochs.jsonl"
# The error that the launching process raises for each kind of failure.
ERRORS: dict[str, type[Exception]] = {"stopped": Stopped, "final": TrainingError, "other": LaunchError}


class Job(BaseModel):
    """What to train. Its training manifest is a file next to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: AnyTrainingSettings = Field(description="the model and the run")
    store: str = Field(description="root of the store that its audio paths are relative to")
    endpoint_url: str = Field("", description="root of the S3 server of a store in a bucket")
    region: str = Field("", description="region of the bucket")
    output: Path = Field(description="the folder of the checkpoints")
    cuda: bool = Field(description="whether each process has a CUDA device; otherwise all share the CPU")
    copy_to: str = Field("", description="folder of the store for a copy of the run; empty: no copy")
    initial_weights: Path | None = Field(None, description="a checkpoint to start from")
    inputs: GenerationInputs | None = Field(None, description="the files of a latent diffusion model")


class Failure(BaseModel):
    """Why a run ended, if restarting its processes would not help."""

    model_config = ConfigDict(frozen=True)

    message: str
    kind: Literal["stopped", "final", "other"] = Field(
        description="`stopped`: it was asked to stop, and was saved; `final`: one of `FINAL_ERRORS`"
    )

    def as_error(self) -> Exception:
        """The error that the launching process raises."""
        return ERRORS[self.kind](self.message)


class WrittenEpochs:
    """A `Progress` that writes each epoch down for the process that launched this one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / EPOCHS

    def update(self, done: int, total: int, note: str = "") -> None:
        pass

    def record(self, facts: Facts) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


class EpochReader:
    """Passes on the epochs that the processes of a job write down.

    Args:
        folder: the job's folder.
        progress: gets each epoch once.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._path, self._progress, self._read = folder / EPOCHS, progress, 0

    def pass_on(self) -> None:
        """Passes on what is new, up to the last complete line."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            complete, _, _ = file.read().rpartition(b"\n")
        self._read += len(complete) + 1 if complete else 0
        for line in complete.splitlines():
            self._progress.record(json.loads(line))


def write_job(job: Job, manifest: pa.Table, folder: Path) -> None:
    """Writes a job into its folder."""
    pq.write_table(manifest, folder / MANIFEST)
    (folder / JOB).write_text(job.model_dump_json())


def read_failure(folder: Path) -> Failure | None:
    """Why the processes of a job failed; None: they have not said it."""
    try:
        return Failure.model_validate_json((folder / FAILURE).read_text())
    except (FileNotFoundError, ValidationError):
        # Not there, or not completely written.
        return None


def main(folder: Path) -> None:
    """Trains the job in a folder."""
    try:
        _train(folder)
    except Stopped as error:
        _write_failure(folder, Failure(message=str(error), kind="stopped"))
        raise
    except FINAL_ERRORS as error:
        _write_failure(folder, Failure(message=str(error), kind="final"))
        raise
    except (AudioReadError, StoreError) as error:
        _write_failure(folder, Failure(message=str(error), kind="other"))
        raise


def _write_failure(folder: Path, failure: Failure) -> None:
    # The first process to fail knows why; the others may only have lost the connection to it.
    with suppress(FileExistsError), (folder / FAILURE).open("x") as file:
        file.write(failure.model_dump_json())


def _train(folder: Path) -> None:
    job = Job.model_validate_json((folder / JOB).read_text())
    store = open_store(job.store, job.endpoint_url or None, job.region or None, waits=True)
    options = RunOptions(
        device=f"cuda:{local_rank()}" if job.cuda else "cpu",
        initial_weights=job.initial_weights,
        progress=WrittenEpochs(folder),
        copy=RunCopy(store, job.copy_to, job.output) if job.copy_to else None,
        inputs=job.inputs,
    )
    train(pq.read_table(folder / MANIFEST), AudioFiles(store), job.settings, job.output, options)


if __name__ == "__main__":
    # torchrun stops its processes, but not if it is killed itself.
    stop_with_parent(os.getppid())
    # The launching process reads standard output, and logs it.
    level = logging.INFO if is_first() else logging.WARNING
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=level)
    main(Path(sys.argv[1]))
