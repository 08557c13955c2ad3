"""The task that a run's settings are for. A new task is an entry in `TASKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wavcaps_training.checkpoints.released import load_released
from wavcaps_training.models.building import build_model
from wavcaps_training.settings.captioner import AnyTrainingSettings
from wavcaps_training.tasks.base import Task
from wavcaps_training.tasks.captioning import CaptioningTask
from wavcaps_training.tasks.retrieval import RetrievalTask

# By the field `task` of the settings.
TASKS: Mapping[str, Callable[[Any, Any], Task]] = {"retrieval": RetrievalTask, "captioning": CaptioningTask}


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
