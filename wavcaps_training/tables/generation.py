"""The tables of text to sound: latents, generated sounds, and their scores."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import SECONDS, STRING
from wavcaps_training.tables.score_columns import benchmark_scores

LATENTS_FOLDER = "latents"
GENERATED_SOUNDS_FOLDER = "generated_sounds"
OF_CLIPS = ("audio_path", "caption", "split")

LATENTS = TableSchema(
    "latents",
    "What a latent diffusion model is trained on: the file of latents and embeddings, and what made it.",
    (
        Column(
            "latents_path", STRING, "the file, relative to the store", derived_from=OF_CLIPS, is_data=False
        ),
        Column("latents_sha256", STRING, "a hash of the file", derived_from=OF_CLIPS),
        Column("autoencoder", STRING, "the checkpoint of the autoencoder", derived_from=()),
        Column(
            "autoencoder_path", STRING, "its weights, relative to the store", derived_from=(), is_data=False
        ),
        Column("autoencoder_sha256", STRING, "a hash of its weights", derived_from=("weights_path",)),
        Column(
            "conditioned_by",
            STRING,
            "the retrieval checkpoint whose vectors are the conditions",
            derived_from=(),
        ),
        Column(
            "conditioned_by_path",
            STRING,
            "its weights, relative to the store",
            derived_from=(),
            is_data=False,
        ),
        Column("conditioned_by_sha256", STRING, "a hash of its weights", derived_from=("weights_path",)),
        Column("clips", pa.int32(), "clips that have a latent", derived_from=OF_CLIPS),
        Column(
            "unreadable_clips",
            pa.list_(pa.string()),
            "ids of the clips without one, because their audio could not be read",
            derived_from=("clip_id", "audio_path"),
        ),
        Column("shape", pa.list_(pa.int32()), "channels, frames and bins of a latent", derived_from=()),
        Column("width", pa.int32(), "numbers of a condition", derived_from=()),
    ),
    key=("latents_sha256",),
)

GENERATED_SOUNDS = TableSchema(
    "generated_sounds",
    "Sounds that a model made from texts, with all that is needed to make them again. They are no clips: the "
    "check `no_generated_sound` refuses a manifest that has one.",
    (
        Column("sound_id", STRING, "a hash of text, checkpoint and settings", derived_from=("weights_path",)),
        Column("text", STRING, "the text", derived_from=()),
        Column(
            "audio_path",
            STRING,
            "the FLAC file, relative to the store; a comment in it says that it is generated",
            derived_from=("weights_path",),
            is_data=False,
        ),
        Column(
            "samples_sha256",
            STRING,
            "a hash of its samples at 32 kHz, as a clip's",
            derived_from=("weights_path",),
        ),
        Column("duration_s", SECONDS, "its duration (s)", derived_from=()),
        Column("sample_rate", pa.int32(), "its sample rate (Hz)", derived_from=()),
        Column("checkpoint", STRING, "the checkpoint that made it", derived_from=()),
        Column("weights_sha256", STRING, "a hash of its weights", derived_from=("weights_path",)),
        Column("conditioned_by", STRING, "the retrieval checkpoint that read the text", derived_from=()),
        Column("conditioned_by_sha256", STRING, "a hash of its weights", derived_from=("weights_path",)),
        Column("seed", pa.int64(), "the setting `seed`", derived_from=()),
        Column("steps", pa.int32(), "steps of the sampler", derived_from=()),
        Column("eta", pa.float64(), "share of the noise that each step adds", derived_from=()),
        Column("guidance", pa.float64(), "weight of the condition", derived_from=()),
        Column("candidates", pa.int32(), "sounds that were made for the text", derived_from=()),
        Column("candidate", pa.int32(), "which of them was kept, from 0", derived_from=("weights_path",)),
        Column(
            "similarity",
            pa.float64(),
            "cosine of the vectors of sound and text by `conditioned_by`: the highest of the candidates",
            derived_from=("weights_path",),
        ),
        Column(
            "nearest_clip_id",
            STRING,
            "the clip of the training data whose audio is most similar, by `conditioned_by`",
            derived_from=("clip_id",),
        ),
        Column("nearest_caption", STRING, "its caption", derived_from=("caption",)),
        Column("nearest_audio_path", STRING, "its audio", derived_from=("audio_path",), is_data=False),
        Column("nearest_similarity", pa.float64(), "cosine of the two vectors", derived_from=("audio_path",)),
    ),
    key=("sound_id",),
)

BENCHMARK_GENERATION = benchmark_scores(
    "benchmark_generation",
    "Sounds made from a benchmark's captions, compared with its audio: FAD, FD, IS and KL where their "
    "networks are, and without any download the CLAP score and the Fréchet distance of our own embeddings, "
    "next to real audio and noise.",
    more=(
        Column(
            "note",
            STRING,
            "why a score was not measured, and where to get what it needs",
            nullable=True,
            derived_from=(),
            is_data=False,
        ),
        Column(
            "judged_by",
            STRING,
            "the network that the score looks through: a retrieval checkpoint, VGGish or CNN14",
            derived_from=(),
        ),
    ),
)
