"""Columns and column types that several tables share."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column

STRING = pa.string()
STRINGS = pa.list_(pa.string())
SECONDS = pa.float64()
EVENTS = pa.list_(
    pa.struct(
        [
            pa.field("onset_s", pa.float64(), nullable=False),
            pa.field("offset_s", pa.float64(), nullable=False),
            pa.field("label", pa.string(), nullable=False),
        ]
    )
)

# Kinds of further captions, in the order in which a clip has them. `other`: the kind is not known, such as of
# the second of five captions that people wrote.
CAPTION_KINDS = ("tags", "short", "long", "query", "temporal", "other")
FURTHER_CAPTIONS = pa.list_(
    pa.struct(
        [
            pa.field("text", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("model", pa.string(), nullable=False),
            pa.field("prompt_version", pa.string(), nullable=False),
        ]
    )
)

# AudioSet's identifiers of its classes, such as `/m/0bt9lr` for a dog.
EVENT_MIDS = Column(
    "event_mids",
    STRINGS,
    "the AudioSet identifier (MID) of each event, in the order of `events`; null for other sources",
    nullable=True,
    added_in=4,
)

CLIP_ID = Column("clip_id", STRING, "`<source>-<id at the source>`, unique in the whole set")
SOURCE = Column("source", STRING, "the source's name, such as `freesound`")

RECORDING = Column(
    "recording",
    STRING,
    "the recording that the clip was cut from, as its source names it; null if the source does not say",
    nullable=True,
    added_in=3,
)

# What FreeSound says about a sound since 2026; null for other sources, and where it says nothing
# (https://freesound.org/docs/api/resources_apiv2.html). A changed value is a change of the record.
SITE_FIELDS = (
    Column(
        "gen_ai_preference",
        STRING,
        "the author's wish for training generative models, such as `no-gen-ai`; FreeSound only",
        nullable=True,
        added_in=2,
    ),
    Column("category", STRING, "category of the site's taxonomy; FreeSound only", nullable=True, added_in=2),
    Column("subcategory", STRING, "category below it; FreeSound only", nullable=True, added_in=2),
    Column(
        "category_is_user_provided",
        pa.bool_(),
        "whether the uploader chose the category, and not the site's classifier; FreeSound only",
        nullable=True,
        added_in=2,
    ),
    Column(
        "is_explicit",
        pa.bool_(),
        "whether the site marks the sound as explicit; FreeSound only",
        nullable=True,
        added_in=2,
    ),
    Column(
        "is_remix",
        pa.bool_(),
        "whether the sound is a remix of other sounds of the site; FreeSound only",
        nullable=True,
        added_in=2,
    ),
    Column(
        "synthetic",
        pa.bool_(),
        "whether its tags say that it is AI-made (`GenAI` on FreeSound); false if they do not; null where "
        "the source has no such tag",
        nullable=True,
        added_in=2,
    ),
)
SITE_FIELD_NAMES = tuple(column.name for column in SITE_FIELDS)
# The version of the tables that has them all.
SITE_FIELDS_SINCE = max(column.added_in for column in SITE_FIELDS)
