"""The task that a run's settings are for. A new task is an entry in `TASKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from wavcaps_training.checkpoints.released import load_released
from wavcaps_training.models.building import build_model
from wavcaps_training.settings.captioner import AnyTrainingSettings
from wavcaps_training.tasks.base import Task
from wavcaps_training.tasks.captioning import CaptioningTask
from wavcaps_training.tasks.retrieval import RetrievalTask


def _generation(model: Any, settings: Any) -> Task:
    # diffusers is imported only where sound is made: it takes seconds.
    task: Task = import_module("wavcaps_training.tasks.generation").GenerationTask(model, settings)
    return task


def _autoencoder(model: Any, settings: Any) -> Task:
    task: Task = import_module("wavcaps_training.tasks.autoencoder").AutoencoderTask(model, settings)
    return task


# By the field `task` of the settings.
TASKS: Mapping[str, Callable[[Any, Any], Task]] = {
    "retrieval": RetrievalTask,
    "captioning": CaptioningTask,
    "generation": _generation,
    "autoencoder": _autoencoder,
}


def build_task(settings: AnyTrainingSettings) -> Task:
    """A model that is ready to be trained for what the settings are for.

    Raises:
        TextModelError: there is no BERT or BART where the settings say.
        ReleasedCheckpointError: `audio_weights` are not those of the audio encoder.
    """
    task = TASKS[settings.task](build_model(settings), settings)
    if settings.audio_weights:
        load_released(Path(settings.audio_weights), task.audio_network)
    return task
