"""One of the processes that train together: `python -m wavcaps_training.worker JOB.json`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from wavcaps_assets.storage import Store, open_store
from wavcaps_training.captioner_settings import AnyTrainingSettings
from wavcaps_training.data import AudioFiles
from wavcaps_training.distributed import is_first, local_rank
from wavcaps_training.train import train

# What a line starts with that is an entry of the learning curve.
EPOCH_DONE = "epoch done: "


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
    initial_weights: Path | None = Field(None, description="a checkpoint to begin with")
    result: Path = Field(description="where what the run made is written, as JSON")


def main(path: Path) -> None:
    """Trains what a job says; the first process writes its result."""
    job = Job.model_validate_json(path.read_text())

    def tell(entry: dict[str, Any]) -> None:
        print(EPOCH_DONE + json.dumps(entry), flush=True)  # noqa: T201

    result = train(
        pq.read_table(job.manifest),
        AudioFiles(open_store(job.store, job.endpoint_url or None, job.region or None)),
        job.settings,
        job.output,
        f"cuda:{local_rank()}" if job.cuda else "cpu",
        tell,
        job.initial_weights,
        print,
    )
    if is_first():
        content = json.dumps(asdict(result), default=str)
        Store(job.result.parent).write_bytes(job.result.name, content.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
