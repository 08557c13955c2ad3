"""Tables of what models make of clips."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, STRING

EMBEDDINGS_FOLDER = "audio_embeddings"
BENCHMARK_EMBEDDINGS_FOLDER = "benchmark_embeddings"

AUDIO_EMBEDDINGS = TableSchema(
    "audio_embeddings",
    "What a pretrained audio encoder makes of each published clip, or of each clip of a benchmark. Clips "
    "whose audio could not be read are left out.",
    (
        CLIP_ID,
        Column(
            "samples_sha256",
            STRING,
            "SHA-256 of the samples that it was computed from; of a benchmark's clip, of its file",
        ),
        Column(
            "features_version",
            STRING,
            "a hash of the encoder's settings and weights, and of how long clips are cropped",
            derived_from=(),
        ),
        Column("embedding", pa.list_(pa.float32()), "the encoder's vector", derived_from=("samples_sha256",)),
    ),
)
