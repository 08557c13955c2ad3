"""The table of the assets `export/<format>`."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING

EXPORTS = TableSchema(
    "exports",
    "The newest export in a format: one row. The files are in its folder, with their description.",
    (
        Column("format", STRING, "the format", derived_from=()),
        Column("set_version", STRING, "the published version that it was made from", derived_from=()),
        Column("slice", STRING, "the slice of the version; empty: all of it", derived_from=()),
        Column("folder", STRING, "where it is, relative to the store", derived_from=()),
        Column("settings", STRING, "of the format, as JSON", derived_from=()),
        Column("clips", pa.int64(), "number of clips", derived_from=("clip_id",)),
        Column("left_out", pa.int64(), "clips of the version that it does not have", derived_from=()),
        Column("files", pa.int64(), "number of files", derived_from=()),
        Column("bytes", pa.int64(), "their size (bytes)", derived_from=()),
        Column(
            "created",
            pa.timestamp("us", tz="UTC"),
            "when it was complete",
            derived_from=(),
            is_data=False,
        ),
    ),
    key=("format",),
)
