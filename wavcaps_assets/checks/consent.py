"""A check that no clip lost a permission since the crawl before: its licence or its author's preference."""

from __future__ import annotations

import json
from typing import Any

from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.crawl.history import Event, History
from wavcaps_assets.slices.lost_uses import uses_lost
from wavcaps_assets.tables.asset_tables import TableStore

# The change that is looked for, by the column that shows it.
CHANGES = {"licence_id": "relicensed", "gen_ai_preference": "preference_changed"}
SHOWN = 5


def check_consent_kept(tables: TableStore, source: str, partition: str) -> CheckOutcome:
    """Whether every clip may still be used for what it could be used for at the crawl before.

    Clips that are no longer listed are not meant: the crawl diff counts them.
    """
    key = [source, "raw_clips"]
    crawl = tables.crawl_id_of(key, partition)
    with History(tables.store, source, partition) as history:
        changed = {
            record["clip_id"]: json.loads(record["before"])
            for record in history
            if record["event"] == Event.CHANGED and record["round"] == crawl and record.get("before")
        }
    restricted: list[str] = []
    if changed:
        table = tables.read(key, [partition], ["clip_id", *CHANGES])
        for row in table.to_pylist():
            if before := changed.get(row["clip_id"]):
                restricted += _restricted(row, before)
    clips = len({one.partition(":")[0] for one in restricted})
    more = f"; and {len(restricted) - SHOWN} more" if len(restricted) > SHOWN else ""
    said = f"{clips} clips may not be used any more as before: {'; '.join(restricted[:SHOWN])}{more}"
    return CheckOutcome(
        not restricted,
        said if restricted else "no clip lost a permission",
        {"clips": clips, "changed records": len(changed)},
    )


def _restricted(row: dict[str, Any], before: dict[str, Any]) -> list[str]:
    found = []
    for column, change in CHANGES.items():
        then, now = before.get(column), row[column]
        lost = uses_lost(change, then, now) if then != now else []
        if lost:
            found.append(f"{row['clip_id']}: {then or 'none'} → {now or 'none'}, not for {', '.join(lost)}")
    return found
