"""The captions that a table is compared with: those that last passed, kept beside the tables.

A table is overwritten by its next materialization, and Dagster's event log is pruned and belongs to
one instance: neither holds the captions of the time before. So the check keeps a copy in the store.

Two copies are kept, so that a check that is run again compares with the same captions as the first
time. A set that failed is never kept: what is wrong twice is not right.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE
from wavcaps_assets.tables.columns import CLIP_ID, SOURCE, STRING

BASELINE = TableSchema(
    "baseline",
    "The captions that passed the quality checks.",
    (CLIP_ID, SOURCE, Column("caption", STRING, "the caption")),
)
# Under which name a copy says of which materialization it is.
VERSION = "wavcaps.materialization"


class Baseline:
    """The last captions of a table that passed, and those before them.

    Args:
        asset_key, partition: the table's.
        version: of the materialization that is being checked.
    """

    def __init__(self, store: Store, asset_key: Sequence[str], partition: str | None, version: str) -> None:
        folder = "/".join(["quality", *asset_key, partition or WHOLE])
        self._store = store
        self._latest, self._earlier = f"{folder}/latest.parquet", f"{folder}/earlier.parquet"
        self._version = version

    def before(self) -> pa.Table | None:
        """The captions to compare with; None: there is no earlier materialization that passed.

        `version_of` says of which materialization they are.
        """
        latest = self._read(self._latest)
        if latest is None or version_of(latest) != self._version:
            return latest
        return self._read(self._earlier)

    def keep(self, table: pa.Table) -> None:
        """Makes these captions, which passed, those that the next materialization is compared with."""
        latest = self._read(self._latest)
        if latest is not None and version_of(latest) != self._version:
            self._write(self._earlier, latest, version_of(latest))
        self._write(self._latest, table, self._version)

    def _read(self, path: str) -> pa.Table | None:
        return self._store.read_table(path) if self._store.exists(path) else None

    def _write(self, path: str, table: pa.Table, version: str) -> None:
        captions = table.select(BASELINE.arrow.names).cast(BASELINE.arrow)
        self._store.write_table(path, captions, BASELINE, {VERSION: version})


def version_of(table: pa.Table) -> str:
    """The materialization that a copy is of."""
    metadata = table.schema.metadata or {}
    return str(metadata.get(VERSION.encode(), b"").decode())
