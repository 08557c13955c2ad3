"""Tables about the store itself."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING

TIME = pa.timestamp("us", tz="UTC")

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

STATUS = TableSchema(
    "status",
    "The state of each source: how fresh it is, what it waits for, what blocks it, and what is left of the "
    "budget and the disk.",
    (
        Column("source", STRING, "name of the source", derived_from=()),
        Column("title", STRING, "its name for people", derived_from=()),
        Column(
            "state",
            STRING,
            "`fresh`, `behind`, `never crawled`, or `partly crawled`: partitions are missing, and its "
            "schedule is off",
            derived_from=(),
        ),
        Column("partitions", pa.int64(), "its partitions", derived_from=()),
        Column("crawled", pa.int64(), "of these, crawled to the end at least once", derived_from=()),
        Column("overdue", pa.int64(), "of all, due for a crawl for longer than a day", derived_from=()),
        Column(
            "behind_since",
            TIME,
            "when the longest overdue partition became due; null: none is, or not known",
            nullable=True,
            derived_from=(),
        ),
        Column("behind_by_h", pa.float64(), "the time since then (h)", nullable=True, derived_from=()),
        Column(
            "newest_crawl",
            TIME,
            "when a partition was crawled last; null: none was, or not known",
            nullable=True,
            derived_from=(),
        ),
        Column("schedule", STRING, "its schedule: `on` or `off`", derived_from=()),
        Column(
            "paused_until", TIME, "when it may go on; null: it is not paused", nullable=True, derived_from=()
        ),
        Column(
            "paused_by",
            STRING,
            "what is paused, and for what: `budget`, `quota`, `outage` or `other`",
            nullable=True,
            derived_from=(),
        ),
        Column(
            "blocked_by",
            pa.list_(pa.string()),
            "blocking checks that failed, and the partitions",
            derived_from=(),
        ),
        Column(
            "partitions_per_day",
            pa.float64(),
            "partitions that are crawled for the first time in a day, mean of the last 7 days, or of the "
            "shorter history; null: not known",
            nullable=True,
            derived_from=(),
        ),
        Column(
            "days_left",
            pa.float64(),
            "days until every partition is crawled, at this pace; 0: all are; null: not known",
            nullable=True,
            derived_from=(),
        ),
        Column(
            "budget_month_usd",
            pa.float64(),
            "the budget of the month (USD), for all sources; null: no limit",
            nullable=True,
            derived_from=(),
        ),
        Column(
            "budget_left_usd",
            pa.float64(),
            "what is left of it (USD); null: no limit",
            nullable=True,
            derived_from=(),
        ),
        Column(
            "disk_left_bytes",
            pa.int64(),
            "the room on the fullest disk, of those of the store, the state and the instance (bytes); null: "
            "not known",
            nullable=True,
            derived_from=(),
        ),
        Column("as_of", TIME, "when all this was so", derived_from=(), is_data=False),
    ),
    key=("source",),
)
