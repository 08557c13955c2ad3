"""Tables about the store itself."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING

DISK_USE = TableSchema(
    "disk_use",
    "The room that the store takes, by folder, and how much of it nothing refers to any more.",
    (
        Column("folder", STRING, "the top-level folder; `.` for files outside folders", derived_from=()),
        Column("kind", STRING, "what it holds", derived_from=()),
        Column("files", pa.int64(), "number of files", derived_from=()),
        Column("bytes", pa.int64(), "their size (bytes)", derived_from=()),
        Column("unused_files", pa.int64(), "files that no table refers to", derived_from=()),
        Column("unused_bytes", pa.int64(), "their size (bytes)", derived_from=()),
    ),
    key=("folder",),
)
