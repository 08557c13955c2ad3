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

CLIP_ID = Column("clip_id", STRING, "`<source>-<id at the source>`, unique in the whole set")
SOURCE = Column("source", STRING, "the source's name, such as `freesound`")
