"""Whether a crawl's account is whole: listed = stored + failed + gone."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath

import pyarrow as pa

from wavcaps_assets.checks.verdict import Verdict
from wavcaps_assets.crawl.ledger import DROPPED, FAILED, GONE, STORED, statuses
from wavcaps_assets.tables.asset_tables import TableStore


def check_reconciled(tables: TableStore, source: str, partition: str) -> Verdict:
    """Whether the history, the tables and the files in the store tell the same of every clip.

    The history is written as things happen, the tables when a step ends, and the files are what is
    there: a clip that one of them knows otherwise is named.
    """
    found = statuses(tables.read([source, "ledger"], [partition]))
    status = dict(zip(found["clip_id"].to_pylist(), found["status"].to_pylist(), strict=True))
    raw = tables.read_stage([source, "raw_clips"], [partition])
    audio = tables.read_stage([source, "audio"], [partition])
    kinds = {clip_id: said.partition(":")[0] for clip_id, said in status.items()}
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
        "stored by the history and not in the table": stored - _ids(audio.kept),
        "in the table and not stored by the history": _ids(audio.kept) - stored,
        "in the table with a file that is not there, or of another size": _without_file(tables, audio.kept),
    }
    counted = Counter(kinds.values())
    balance = (
        f"{len(status)} listed = {counted[STORED]} stored + {counted[FAILED]} failed + {counted[GONE]} gone "
        f"+ {counted[DROPPED]} no usable record"
    )
    described = [f"{len(clips)} clips {what}: {min(clips)}" for what, clips in problems.items() if clips]
    return Verdict(
        not described,
        "; ".join(described) or balance,
        {"listed": len(status), **{kind: counted[kind] for kind in (STORED, FAILED, GONE, DROPPED)}},
    )


def check_listing_whole(tables: TableStore, source: str, partition: str) -> Verdict:
    """Whether every part of the listing could be read."""
    dropped = tables.read_dropped([source, "raw_clips"], [partition]).to_pylist()
    unread = [row for row in dropped if row["reason"] == "unread"]
    shown = "; ".join(f"{row['clip_id']}: {row['detail']}" for row in unread[:5])
    what = f"{len(unread)} parts could not be read, and the next crawl asks for them again: {shown}"
    return Verdict(not unread, what if unread else "every part was read", {"unread": len(unread)})


def _ids(table: pa.Table) -> set[str]:
    return set(table.column("clip_id").to_pylist())


def _without_file(tables: TableStore, audio: pa.Table) -> set[str]:
    rows = audio.select(["clip_id", "audio_path", "stored_bytes"]).to_pylist()
    folders = {str(PurePosixPath(row["audio_path"]).parent) for row in rows}
    sizes = {
        f"{folder}/{name}": size for folder in folders for name, size in tables.store.sizes(folder).items()
    }
    return {row["clip_id"] for row in rows if sizes.get(row["audio_path"]) != row["stored_bytes"]}
