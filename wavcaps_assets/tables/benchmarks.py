"""Tables of the benchmarks, and of what the set shares with them."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, SECONDS, SOURCE, STRING, STRINGS

BENCHMARK_CLIPS = TableSchema(
    "benchmark_clips",
    "The clips of a benchmark, by its official lists.",
    (
        Column("clip_id", STRING, "`<benchmark>-<file>`, or `<benchmark>-<split>-<file>`"),
        Column("benchmark", STRING, "the benchmark's name, such as `clotho`"),
        Column("version", STRING, "the version of its lists, such as `v2.1`"),
        Column("split", STRING, "`train`, `validation`, `test` or `none`"),
        Column("fold", pa.int32(), "the fold for cross-validation, from 1", nullable=True),
        Column("file", STRING, "the file name in the official list"),
        Column("label", STRING, "the class, for classification", nullable=True),
        Column("captions", STRINGS, "the reference captions"),
        Column("youtube_id", STRING, "the YouTube video that it was cut from", nullable=True),
        Column("freesound_id", STRING, "the FreeSound sound that it was cut from", nullable=True),
        Column("start_s", SECONDS, "start of the clip in its recording (s)", nullable=True),
        Column("audio_path", STRING, "the audio file, relative to the store; null: missing", nullable=True),
        Column("duration_s", SECONDS, "duration (s)", nullable=True),
        Column("licence", STRING, "the licence as the benchmark names it", nullable=True),
        Column("author", STRING, "who made the sound", nullable=True),
    ),
)

OVERLAPS = TableSchema(
    "overlaps",
    "Clips of a training set that are, or may be, in a benchmark: one row for each piece of evidence.",
    (
        CLIP_ID,
        SOURCE,
        Column("benchmark", STRING, "the benchmark's name"),
        Column("benchmark_clip_id", STRING, "its clip; for a released list, the entry"),
        Column("benchmark_split", STRING, "`train`, `validation`, `test` or `none`"),
        Column(
            "evidence",
            STRING,
            "`list` (a released exclusion list), `id`, `audio` (a fingerprint), `embedding` or `text`",
        ),
        Column("key", STRING, "what both have in common, such as `FreeSound sound 30322`"),
        Column("score", pa.float64(), "of `audio`: equal hashes; of others: a similarity", nullable=True),
        Column("offset_s", SECONDS, "where the benchmark's clip begins in the clip (s)", nullable=True),
        Column(
            "verdict",
            STRING,
            "`same`: the clip is excluded; `review`: for people to look at, and not excluded",
        ),
    ),
    key=("clip_id", "benchmark", "benchmark_clip_id", "evidence", "key"),
)
