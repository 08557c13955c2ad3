"""Errors of a training that come again however often it is tried, until someone changes something."""

from __future__ import annotations

from wavcaps_training.checkpoints.files import CheckpointError
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.models.text_encoder import TextModelError
from wavcaps_training.tasks.base import TrainingError

FINAL_ERRORS = (CheckpointError, ReleasedCheckpointError, TextModelError, TrainingError)
