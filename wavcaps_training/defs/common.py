"""What several modules of `defs` share."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from wavcaps_assets.defs.code_versions import Scope
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Source
from wavcaps_training.executor.devices import DEVICE_VARIABLE
from wavcaps_training.paper.experiments import Experiment, experiment_named
from wavcaps_training.paper.released import ReleasedModel
from wavcaps_training.scoring.task import ScoringTask
from wavcaps_training.scoring.tasks import known_tasks
from wavcaps_training.settings.encoders import encoders
from wavcaps_training.settings.gpus import GpuSettings

OWNERS = ["team:research"]


@dataclass(frozen=True)
class Location:
    """What the definitions are made from. Each module of `defs` adds its part by `definitions(location)`.

    Attributes:
        settings: those of both code locations.
        gpus: on how many GPUs steps run.
        sources: the sources of the clips.
        experiments: those that get a checkpoint.
        scored: the one that is scored, compared with the paper and shown in the report.
        released: the checkpoints of the paper's authors that can be used next to them.
    """

    settings: Settings
    gpus: GpuSettings
    sources: Sequence[Source]
    experiments: Sequence[Experiment]
    scored: Experiment
    released: Sequence[ReleasedModel] = ()


def benchmark_scores_of(location: Location) -> list[tuple[Experiment | ReleasedModel, ScoringTask, str]]:
    """What has an asset of scores on a benchmark: a checkpoint, a task for its model, and a benchmark."""
    checkpoints: list[Experiment | ReleasedModel] = [*location.experiments, *location.released]
    tasks = known_tasks()
    models = [(checkpoint, checkpoint.settings().task) for checkpoint in checkpoints]
    return [
        (checkpoint, task, benchmark)
        for checkpoint, model in models
        for task in tasks
        if task.models == model
        for benchmark in task.benchmarks_for(location.settings.sources)
    ]


def encoder_scope(experiment: Experiment | ReleasedModel) -> Scope:
    """The code of a checkpoint's audio encoder, and of that of the model that conditions it; of no other."""
    own = [experiment.settings().audio_encoder.encoder]
    if isinstance(experiment, Experiment) and experiment.parts is not None:
        conditioned_by = experiment_named(experiment.parts.conditioned_by)
        own.append(conditioned_by.settings().audio_encoder.encoder)
    return scope_of_encoders(*own)


@cache
def scope_of_encoders(*own: str) -> Scope:
    """The code of audio encoders, by their names, and of no other."""
    return Scope(without=[settings.__module__ for name, settings in encoders().items() if name not in own])


def device() -> str:
    """The kind of device that the executor gave this step: `cpu` or `cuda`."""
    return os.environ.get(DEVICE_VARIABLE, "cpu")


def device_count() -> int:
    """How many devices the executor gave this step."""
    return max(len([name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]), 1)
