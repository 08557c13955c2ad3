"""A few synthesised sounds, and small models of them, for tests of text to sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
import torch

from tests.training.small_models import SMALL_AUTOENCODER, SMALL_GENERATOR, SMALL_HTSAT, small_bert
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.data import AudioFolder, clips_of
from wavcaps_training.data.latents import GenerationInputs
from wavcaps_training.generation.latents import MadeLatents, make_latents
from wavcaps_training.models.building import build_model
from wavcaps_training.settings.generation import (
    AutoencoderModelSettings,
    AutoencoderTrainingSettings,
    GenerationTrainingSettings,
)
from wavcaps_training.settings.model import ModelSettings, TextEncoderSettings
from wavcaps_training.settings.training import ClipSettings, TrainingSettings

RATE = 32_000
CLIP = ClipSettings(seconds=0.64)
TRAIN, VALIDATION = 8, 4
AUTOENCODER = AutoencoderTrainingSettings(
    model=AutoencoderModelSettings(audio=SMALL_AUTOENCODER),
    clip=CLIP,
    epochs=2,
    batch_size=4,
    part_seconds=0.32,
)
GENERATION = GenerationTrainingSettings(
    model=SMALL_GENERATOR,
    clip=CLIP,
    epochs=2,
    batch_size=4,
    learning_rate=1e-3,
    keep_every_steps=2,
)
RETRIEVAL = TrainingSettings(
    model=ModelSettings(
        audio=SMALL_HTSAT, text=TextEncoderSettings(folder=str(small_bert()), frozen=True), joint_dim=16
    ),
    clip=ClipSettings(seconds=0.64),
    batch_size=4,
)


@dataclass(frozen=True)
class Sounds:
    """Clips and the files that a latent diffusion model of them is trained on."""

    manifest: pa.Table
    audio: AudioFolder
    inputs: GenerationInputs
    made: MadeLatents
    retrieval: Path


def tones(folder: Path) -> pa.Table:
    """A training manifest of tones, whose audio is in the folder."""
    rows = []
    for number in range(TRAIN + VALIDATION):
        pitch = 200 + 300 * number
        samples = np.sin(2 * np.pi * pitch * np.arange(round(RATE * 0.6)) / RATE) / 3
        soundfile.write(folder / f"{number}.flac", samples, RATE)
        rows.append(
            {
                "clip_id": f"freesound-{number}",
                "source": "freesound",
                "caption": f"A tone of {pitch} hertz.",
                "other_captions": [],
                "audio_path": f"{number}.flac",
                "duration_s": 0.6,
                "recording": str(number),
                "split": "train" if number < TRAIN else "validation",
            }
        )
    return TRAINING_MANIFEST.from_rows(rows)


def small_sounds(folder: Path) -> Sounds:
    """Tones with their latents, by an autoencoder and a retrieval model with fresh weights."""
    torch.manual_seed(0)
    manifest, audio = tones(folder), AudioFolder(folder)
    models = folder / "autoencoder.safetensors", folder / "retrieval.safetensors"
    save_checkpoint(models[0], build_model(AUTOENCODER), AUTOENCODER)
    save_checkpoint(models[1], build_model(RETRIEVAL), RETRIEVAL)
    latents = folder / "latents.safetensors"
    clips = [*clips_of(manifest, "train"), *clips_of(manifest, "validation")]
    made = make_latents(clips, audio, models, latents)
    return Sounds(manifest, audio, GenerationInputs(models[0], latents), made, models[1])
