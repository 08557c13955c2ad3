"""Clips for training and evaluation: rows of the training manifest, their audio, and batches of them."""

from wavcaps_training.data.audio_files import AudioFiles, AudioFolder, AudioReadError
from wavcaps_training.data.clips import Clip, Example, clips_of, examples_of
from wavcaps_training.data.crops import read_crop, readable_crop
from wavcaps_training.data.loading import (
    AudioCache,
    Batch,
    EpochShare,
    FeatureCache,
    LogMelCache,
    batch_loader,
    example_loader,
    unreadable_clips,
)
from wavcaps_training.data.plan import clips_seen, plan_epoch
from wavcaps_training.data.unreadable import UnreadableClips

__all__ = [
    "AudioCache",
    "AudioFiles",
    "AudioFolder",
    "AudioReadError",
    "Batch",
    "Clip",
    "EpochShare",
    "Example",
    "FeatureCache",
    "LogMelCache",
    "UnreadableClips",
    "batch_loader",
    "clips_of",
    "clips_seen",
    "example_loader",
    "examples_of",
    "plan_epoch",
    "read_crop",
    "readable_crop",
    "unreadable_clips",
]
