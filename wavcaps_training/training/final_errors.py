"""Errors that a retry of the training only repeats, until someone changes its input or settings."""

from __future__ import annotations

from wavcaps_assets.benchmark_sets.classes import ClassNamesError
from wavcaps_training.checkpoints.checkpoint import CheckpointError
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.data.latents import LatentsError
from wavcaps_training.evaluation.caption_scores.java import JavaError
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.ranking import BrokenEmbeddings
from wavcaps_training.evaluation.retrieval import BlankCaptions
from wavcaps_training.generation.sampling import SamplingError, TextError
from wavcaps_training.models.text_encoder import TextModelError
from wavcaps_training.tasks.base import TrainingError

FINAL_ERRORS = (
    BlankCaptions,
    BrokenEmbeddings,
    CheckpointError,
    ClassNamesError,
    JavaError,
    LatentsError,
    NothingToScore,
    ReleasedCheckpointError,
    SamplingError,
    TextError,
    TextModelError,
    TrainingError,
)
