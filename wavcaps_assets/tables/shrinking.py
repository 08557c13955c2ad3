"""A good table is not replaced by a nearly empty one in silence."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from wavcaps_assets.store.storage import DamagedTable, StoreError
from wavcaps_assets.tables.asset_tables import TableStore

logger = logging.getLogger(__name__)

# Smaller tables change by large shares for good reasons.
ENOUGH_ROWS = 20


class FarFewerRows(StoreError):
    """A table would lose most of its rows. It is kept."""


def require_rows(
    tables: TableStore, asset_key: Sequence[str], partition: str | None, rows: int, smallest_share: float
) -> None:
    """Refuses to replace a table by one with far fewer rows, as an outage upstream would.

    Args:
        tables: the tables in the store.
        asset_key: the asset's key.
        partition: None for an asset without partitions.
        rows: of the new table, without the dropped clips.
        smallest_share: the least share of the old table's rows that is accepted (0 to 1).

    Raises:
        FarFewerRows: the new table has fewer.
        StoreError: the store cannot be read. A damaged table may be replaced.
    """
    try:
        before = tables.rows(asset_key, partition)
    except DamagedTable as error:
        # There is no good table to keep, and only a new one repairs it.
        logger.warning("%s", error)
        return
    if before < ENOUGH_ROWS or rows >= smallest_share * before:
        return
    place = "/".join(asset_key) + (f", partition {partition}" if partition else "")
    raise FarFewerRows(
        f"{place} would go from {before:,} rows to {rows:,}, and less than {smallest_share:.0%} of a table's "
        "rows is more often a fault upstream than a change. The table in the store is kept."
    )
