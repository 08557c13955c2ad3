"""Checks for every table: its schema, its key, and that no clip was lost."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.store.schema import SchemaError, TableSchema
from wavcaps_assets.tables.stage import Stage


def check_schema(table: pa.Table, schema: TableSchema) -> CheckOutcome:
    """Whether the columns match the schema in `tables/`, without missing values in required columns."""
    try:
        schema.check(table)
    except SchemaError as error:
        return CheckOutcome(False, str(error))
    return CheckOutcome(True, f"{table.num_rows} rows match the schema", {"rows": table.num_rows})


def check_unique(table: pa.Table, key: str = "clip_id") -> CheckOutcome:
    """Whether every key has one row."""
    unique = len(table.column(key).unique())
    repeated = table.num_rows - unique
    description = f"{unique} clips, one row each" if not repeated else f"{repeated} rows repeat a {key}"
    return CheckOutcome(repeated == 0, description, {"rows": table.num_rows, "distinct": unique})


def check_nothing_lost(upstream: pa.Table, outcome: Stage) -> CheckOutcome:
    """Whether the counts add up: each input clip was either kept, or dropped with a reason, and once.

    Args:
        upstream: the input, with the column `clip_id`.
        outcome: both tables, with the column `clip_id`.
    """
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    before = upstream.column("clip_id").unique()
    kept, dropped = outcome.kept.column("clip_id"), outcome.dropped.column("clip_id")
    after = pa.chunked_array([*kept.chunks, *dropped.chunks], pa.string())
    counted = pa.table({"clip": after}).group_by("clip").aggregate([([], "count_all")])

    def missing(clips: pa.Array, among: pa.Array) -> pa.Array:
        return clips.filter(pc.invert(pc.is_in(clips, value_set=among)))

    found = counted.column("clip").combine_chunks()
    problems = {
        "lost": missing(before, found),
        "kept or dropped more than once": found.filter(pc.greater(counted.column("count_all"), 1)),
        "not in the input": missing(found, before),
    }
    described = [
        f"{len(clips)} clips {what}, such as {pc.min(clips).as_py()}"
        for what, clips in problems.items()
        if len(clips)
    ]
    balance = f"{len(before)} clips in, {len(kept)} kept, {len(dropped)} dropped with a reason"
    return CheckOutcome(
        not described,
        "; ".join(described) or balance,
        {"in": len(before), "kept": len(kept), "dropped": len(dropped)},
    )


def check_only_published(rows: pa.Table, published: pa.Table) -> CheckOutcome:
    """Whether every row belongs to a clip of the published set. Both tables have the column `clip_id`."""
    others = set(rows.column("clip_id").unique().to_pylist()) - set(published.column("clip_id").to_pylist())
    description = f"{rows.num_rows} rows, all of published clips"
    if others:
        description = f"{len(others)} clips are not in the published set, such as {min(others)}"
    return CheckOutcome(not others, description, {"rows": rows.num_rows, "other clips": len(others)})
