"""The table of the assets `<source>/fingerprints` and `benchmark_fingerprints/<name>`."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, SOURCE, STRING

FINGERPRINTS = TableSchema(
    "fingerprints",
    "The spectral peaks of each clip, by which the same recording is found again.",
    (
        CLIP_ID,
        SOURCE,
        Column(
            "audio_sha256",
            STRING,
            "SHA-256 of the stored samples; of a benchmark's clip, of its file",
            derived_from=("samples_sha256",),
        ),
        Column(
            "landmarks",
            pa.list_(pa.uint32()),
            "the peaks in order of time: 512 × frame (16 ms) + frequency bin (15.6 Hz); none: silence",
            derived_from=("audio_path",),
        ),
    ),
)
