"""Tables of the published set, and its split for training."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import (
    CLIP_ID,
    EVENT_MIDS,
    EVENTS,
    FURTHER_CAPTIONS,
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
        EVENT_MIDS,
        Column(
            "start_s",
            SECONDS,
            "start of the clip in its recording (s); AudioSet only",
            nullable=True,
            added_in=4,
        ),
        Column(
            "other_captions",
            FURTHER_CAPTIONS,
            "further captions, each with its kind (`tags`, `short`, `long`, `query`, `temporal` or "
            "`other`), the model that wrote it and the version of its prompt; null: none was made",
            nullable=True,
            added_in=5,
        ),
    ),
)

STRONG_LABELS = TableSchema(
    "strong_labels",
    "The labelled sound events of the published clips, one row each. The times are those that the source "
    "published, and count from the start of the clip.",
    (
        CLIP_ID,
        Column(
            "event",
            pa.int32(),
            "counts the events of a clip from 0, by their start",
            derived_from=("events",),
        ),
        Column("start_s", SECONDS, "start in the clip (s)", derived_from=("events",)),
        Column("end_s", SECONDS, "end in the clip (s)", derived_from=("events",)),
        Column("label", STRING, "the name of the sound's class", derived_from=("events",)),
        Column(
            "mid",
            STRING,
            "AudioSet's identifier of the class; null for clips that an older version crawled",
            nullable=True,
            derived_from=("event_mids",),
        ),
    ),
    key=("clip_id", "event"),
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

SPLIT_ASSIGNMENTS = TableSchema(
    "split_assignments",
    "The part of the split of every clip that was ever published, by the seed of the split.",
    (
        CLIP_ID,
        Column("seed", STRING, "the seed of the split", derived_from=()),
        Column("split", STRING, "`train`, `validation` or `test`", derived_from=("recording",)),
        Column(
            "origin",
            STRING,
            "`drawn`; `joined`: as another clip of its recording; `adopted`: from an older version's split",
            derived_from=(),
        ),
        Column("moved_from", STRING, "the part that it was in before", nullable=True, derived_from=()),
        Column(
            "because",
            STRING,
            "the clip of the same recording that it follows",
            nullable=True,
            derived_from=(),
        ),
        Column(
            "since",
            pa.timestamp("us", tz="UTC"),
            "when it was assigned; null: adopted",
            nullable=True,
            derived_from=(),
            is_data=False,
        ),
        Column(
            "materials",
            pa.list_(pa.string()),
            "the hashes of the samples that it has or had, and the recordings that it is of; null: it left "
            "the set before these were written down",
            nullable=True,
            derived_from=("samples_sha256", "recording"),
            added_in=2,
            is_data=False,
        ),
    ),
    key=("clip_id", "seed"),
)

SET_CHANGES = TableSchema(
    "set_changes",
    "What a version of the set changed, compared with another: one row for each change of a clip.",
    (
        CLIP_ID,
        SOURCE,
        Column(
            "change",
            STRING,
            "`added`, `removed`, `recaptioned`, `other_captions_changed`, `relicensed`, "
            "`preference_changed`, `audio_changed` or `details_changed`",
        ),
        Column(
            "why",
            STRING,
            "of a removed clip: `gone`, `licence`, `preference`, `decontamination`, `rule`, `audio`, "
            "`same_sound`, `source` or `unknown`",
            nullable=True,
        ),
        Column("before", STRING, "the old caption, licence or preference", nullable=True),
        Column("after", STRING, "the new one", nullable=True),
        Column("detail", STRING, "what is known besides, for people", nullable=True),
    ),
    key=("clip_id", "change"),
)
