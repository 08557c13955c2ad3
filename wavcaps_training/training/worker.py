"""One of the processes that train together: `python -m wavcaps_training.training.worker JOB.json`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.store.storage import StoreError, open_store
from wavcaps_training.data import AudioFiles, AudioReadError
from wavcaps_training.executor.step_process import stop_with_parent
from wavcaps_training.settings.captioner import AnyTrainingSettings
from wavcaps_training.tasks.base import TrainingError
from wavcaps_training.training.distributed import local_rank
from wavcaps_training.training.final_errors import FINAL_ERRORS
from wavcaps_training.training.launching import LaunchError
from wavcaps_training.training.run import Stopped
from wavcaps_training.training.run_copy import RunCopy
from wavcaps_training.training.train import train

# What a line starts with that is an entry of the learning curve.
EPOCH_DONE = "epoch done: "
# What a failure's kind is for who started the processes.
ERRORS: dict[str, type[Exception]] = {"stopped": Stopped, "final": TrainingError, "other": LaunchError}


class Job(BaseModel):
    """What to train."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: AnyTrainingSettings = Field(description="the model and the run")
    manifest: Path = Field(description="the training manifest, a Parquet file")
    store: str = Field(description="root of the store that its audio paths are relative to")
    endpoint_url: str = Field("", description="root of the S3 server of a store in a bucket")
    region: str = Field("", description="region of the bucket")
    output: Path = Field(description="the folder of the checkpoints")
    cuda: bool = Field(description="whether each process has a CUDA device, or all share the CPU")
    copy_to: str = Field(
        "", description="folder of the store where what is saved is copied to; empty: nowhere"
    )
    initial_weights: Path | None = Field(None, description="a checkpoint to begin with")
    failure: Path = Field(description="where a `Failure` is written, as JSON")


class Failure(BaseModel):
    """Why a run ended, where starting its processes anew would not help."""

    model_config = ConfigDict(frozen=True)

    message: str
    kind: Literal["stopped", "final", "other"] = Field(
        description="`stopped`: it was asked to, and has saved where it is; `final`: one of `FINAL_ERRORS`"
    )

    def as_error(self) -> Exception:
        """The error, for who started the processes."""
        return ERRORS[self.kind](self.message)


def read_failure(job: Job) -> Failure | None:
    """Why a job's processes failed, if they said so."""
    try:
        return Failure.model_validate_json(job.failure.read_text())
    except (FileNotFoundError, ValidationError):
        # Or it is being written.
        return None


def main(path: Path) -> None:
    """Trains what a job says; what it makes is in the job's folder."""
    job = Job.model_validate_json(path.read_text())
    try:
        _train(job)
    except Stopped as error:
        _say_why(job, Failure(message=str(error), kind="stopped"))
        raise
    except FINAL_ERRORS as error:
        _say_why(job, Failure(message=str(error), kind="final"))
        raise
    except (AudioReadError, StoreError) as error:
        _say_why(job, Failure(message=str(error), kind="other"))
        raise


def _say_why(job: Job, failure: Failure) -> None:
    # The first to fail knows why; the others may only have lost the first.
    with suppress(FileExistsError), job.failure.open("x") as file:
        file.write(failure.model_dump_json())


def _train(job: Job) -> None:
    store = open_store(job.store, job.endpoint_url or None, job.region or None)
    copy = RunCopy(store, job.copy_to, job.output, print) if job.copy_to else None

    def tell(entry: dict[str, Any]) -> None:
        print(EPOCH_DONE + json.dumps(entry), flush=True)  # noqa: T201

    train(
        pq.read_table(job.manifest),
        AudioFiles(store),
        job.settings,
        job.output,
        f"cuda:{local_rank()}" if job.cuda else "cpu",
        tell,
        job.initial_weights,
        print,
        copy.save if copy is not None else lambda: None,
    )


if __name__ == "__main__":
    # torchrun stops its processes, unless it is killed itself.
    stop_with_parent(os.getppid())
    main(Path(sys.argv[1]))
