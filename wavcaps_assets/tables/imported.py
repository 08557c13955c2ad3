"""The table of an imported set: its clips, where their audio is, and the captions that they came with."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, EVENTS, SECONDS, SOURCE, STRING, STRINGS

IMPORTED_SETS = TableSchema(
    "imported_sets",
    "The sources that an import made.",
    (
        Column("source", STRING, "the source's name"),
        Column("path", STRING, "the folder of the set, on the machine that imported it"),
        Column("clips", pa.int64(), "its clips"),
        Column("without_audio", pa.int64(), "those whose audio is not in the set"),
        Column("repeated", pa.int64(), "rows with the id of an earlier one, which are left out"),
    ),
    key=("source",),
)

IMPORTED_CLIPS = TableSchema(
    "imported_clips",
    "The clips of an imported set, with the captions that they came with.",
    (
        CLIP_ID,
        SOURCE,
        Column("source_id", STRING, "the clip's id at its source"),
        Column("captions", STRINGS, "its captions, in the order of the set; the first is published"),
        Column("title", STRING, "the title", nullable=True),
        Column("description", STRING, "the raw text that it was captioned from", nullable=True),
        Column("tags", STRINGS, "tags"),
        Column("events", EVENTS, "labelled sound events in order of onset (s)"),
        Column("start_s", SECONDS, "start of the clip in its recording (s)", nullable=True),
        Column("author", STRING, "who made the clip", nullable=True),
        Column("licence", STRING, "the licence as the set names it", nullable=True),
        Column("page_url", STRING, "the clip's page, for attribution", nullable=True),
        Column("duration_s", SECONDS, "duration that the set claims (s)", nullable=True),
        Column("recording", STRING, "the recording that the clip was cut from", nullable=True),
        Column("gen_ai_preference", STRING, "the author's wish for generative models", nullable=True),
        Column(
            "model", STRING, "the model that wrote the caption; null: the set does not say", nullable=True
        ),
        Column("prompt_version", STRING, "the version of its prompt", nullable=True),
        Column(
            "audio", STRING, "where the audio is in the set (`packed_audio`); null: missing", nullable=True
        ),
        Column("problem", STRING, "why the clip's audio is not used", nullable=True),
        Column("synthetic", pa.bool_(), "whether it is AI-made", nullable=True),
    ),
)
