"""Checks that any table must pass: its schema, its key, and that no clip got lost on the way."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.checks.verdict import Verdict
from wavcaps_assets.store.schema import SchemaError, TableSchema
from wavcaps_assets.tables.stage import Stage


def check_schema(table: pa.Table, schema: TableSchema) -> Verdict:
    """Whether the columns are those that `tables/` promises, with nothing missing in them."""
    try:
        schema.check(table)
    except SchemaError as error:
        return Verdict(False, str(error))
    return Verdict(True, f"{table.num_rows} rows as promised", {"rows": table.num_rows})


def check_unique(table: pa.Table, key: str = "clip_id") -> Verdict:
    """Whether every clip has one row."""
    unique = len(table.column(key).unique())
    repeated = table.num_rows - unique
    description = f"{unique} clips, each once" if not repeated else f"{repeated} rows repeat a {key}"
    return Verdict(repeated == 0, description, {"rows": table.num_rows, "distinct": unique})


def check_nothing_lost(upstream: pa.Table, outcome: Stage) -> Verdict:
    """Whether each clip that went in came out, or was dropped with a reason, and not both."""
    before = set(upstream.column("clip_id").to_pylist())
    kept = set(outcome.kept.column("clip_id").to_pylist())
    dropped = set(outcome.dropped.column("clip_id").to_pylist())
    problems = {
        "lost": before - kept - dropped,
        "kept and dropped": kept & dropped,
        "out of nowhere": (kept | dropped) - before,
    }
    described = [
        f"{len(clips)} clips {what}, such as {min(clips)}" for what, clips in problems.items() if clips
    ]
    balance = f"{len(before)} clips in, {len(kept)} kept, {len(dropped)} dropped with a reason"
    return Verdict(
        not described,
        "; ".join(described) or balance,
        {"in": len(before), "kept": len(kept), "dropped": len(dropped)},
    )
