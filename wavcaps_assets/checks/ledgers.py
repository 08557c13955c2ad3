"""Checks that a crawl accounts for every listed clip: listed = stored + failed + gone."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath

import pyarrow as pa

from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.crawl.ledger import DROPPED, FAILED, GONE, STORED, statuses
from wavcaps_assets.tables.asset_tables import TableStore


def check_reconciled(tables: TableStore, source: str, partition: str) -> CheckOutcome:
    """Whether the history, the tables and the files in the store agree on every clip.

    The history is written during the crawl, and the tables when a step ends. The message names a clip on
    which they differ from each other or from the files.
    """
    found = statuses(tables.read([source, "ledger"], [partition]))
    status = dict(zip(found["clip_id"].to_pylist(), found["status"].to_pylist(), strict=True))
    raw = tables.read_stage([source, "raw_clips"], [partition])
    audio = tables.read_stage([source, "audio"], [partition])
    kinds = {clip_id: outcome.partition(":")[0] for clip_id, outcome in status.items()}
    stored = {clip_id for clip_id, kind in kinds.items() if kind == STORED}
    in_tables = _ids(raw.kept) | {
        row["clip_id"] for row in raw.dropped.to_pylist() if row["reason"] != "unread"
    }
    problems = {
        "in the tables but not in the history": in_tables - status.keys(),
        "in the history but not in the tables": status.keys() - in_tables,
        "waiting, neither stored nor failed": {
            clip_id for clip_id, kind in kinds.items() if kind not in {STORED, FAILED, GONE, DROPPED}
        },
        "stored according to the history, but not in the table": stored - _ids(audio.kept),
        "in the table, but not stored according to the history": _ids(audio.kept) - stored,
        "in the table with a file that is missing or has another size": _without_file(tables, audio.kept),
    }
    counted = Counter(kinds.values())
    balance = (
        f"{len(status)} listed = {counted[STORED]} stored + {counted[FAILED]} failed + {counted[GONE]} gone "
        f"+ {counted[DROPPED]} without a usable record"
    )
    described = [f"{len(clips)} clips {what}: {min(clips)}" for what, clips in problems.items() if clips]
    return CheckOutcome(
        not described,
        "; ".join(described) or balance,
        {"listed": len(status), **{kind: counted[kind] for kind in (STORED, FAILED, GONE, DROPPED)}},
    )


def check_listing_whole(tables: TableStore, source: str, partition: str) -> CheckOutcome:
    """Whether every part of the listing could be read."""
    dropped = tables.read_dropped([source, "raw_clips"], [partition]).to_pylist()
    unread = [row for row in dropped if row["reason"] == "unread"]
    shown = "; ".join(f"{row['clip_id']}: {row['detail']}" for row in unread[:5])
    problem = f"{len(unread)} parts could not be read; the next crawl requests them again: {shown}"
    return CheckOutcome(not unread, problem if unread else "every part was read", {"unread": len(unread)})


def _ids(table: pa.Table) -> set[str]:
    return set(table.column("clip_id").to_pylist())


def _without_file(tables: TableStore, audio: pa.Table) -> set[str]:
    rows = audio.select(["clip_id", "audio_path", "stored_bytes"]).to_pylist()
    folders = {str(PurePosixPath(row["audio_path"]).parent) for row in rows}
    sizes = {
        f"{folder}/{name}": size for folder in folders for name, size in tables.store.sizes(folder).items()
    }
    return {row["clip_id"] for row in rows if sizes.get(row["audio_path"]) != row["stored_bytes"]}
