"""Tables of the published set, and its split for training."""

from __future__ import annotations

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import (
    CLIP_ID,
    EVENTS,
    RECORDING,
    SECONDS,
    SITE_FIELDS,
    SOURCE,
    STRING,
    STRINGS,
)

MANIFEST = TableSchema(
    "manifest",
    "The published clips: caption, audio, and credit line.",
    (
        CLIP_ID,
        SOURCE,
        Column("source_id", STRING, "the clip's id at its source"),
        Column("caption", STRING, "the caption"),
        Column("text", STRING, "the raw text that the caption was made from"),
        Column("title", STRING, "the clip's title at its source", nullable=True),
        Column("tags", STRINGS, "tags or categories"),
        Column("events", EVENTS, "labelled sound events in order of onset (s)"),
        Column("audio_path", STRING, "the FLAC file, relative to the store"),
        Column("duration_s", SECONDS, "measured duration (s)"),
        Column("samples_sha256", STRING, "SHA-256 of the stored 16-bit samples"),
        Column("author", STRING, "who made the clip", nullable=True),
        Column("licence", STRING, "the licence as the source names it", nullable=True),
        Column("licence_id", STRING, "SPDX identifier, or `LicenseRef-…`"),
        Column("attribution", STRING, "the credit line: title, author, source, licence"),
        Column("page_url", STRING, "the clip's page, for attribution", nullable=True),
        Column("model", STRING, "the model that wrote the caption, or `template`"),
        Column("prompt_version", STRING, "content hash of the prompt and its examples"),
        RECORDING,
        *SITE_FIELDS,
    ),
)

RECORDINGS = TableSchema(
    "recordings",
    "Clips that are known to come from the same recording.",
    (
        CLIP_ID,
        Column("recording", STRING, "a name for the recording, the same for all of its clips"),
    ),
    key=("clip_id", "recording"),
)

TRAINING_MANIFEST = TableSchema(
    "training_manifest",
    "The manifest with a fixed train, validation and test split by recording.",
    (
        CLIP_ID,
        SOURCE,
        Column("caption", STRING, "the caption"),
        Column(
            "other_captions",
            STRINGS,
            "further captions of the clip, such as human ones; WavCaps has none",
            derived_from=("caption",),
        ),
        Column(
            "audio_path",
            STRING,
            "the audio file, relative to the store; `TAR#START+SIZE` (bytes) for a file in a tar",
        ),
        Column("duration_s", SECONDS, "measured duration (s)"),
        Column(
            "recording",
            STRING,
            "the group of clips that share a recording; all of a group have the same split",
            derived_from=("recording", "samples_sha256"),
        ),
        Column("split", STRING, "`train`, `validation` or `test`", derived_from=("recording",)),
    ),
)
