"""The captions that a table is compared with: those that passed last, kept in the store.

The next materialization overwrites a table. Dagster's event log is pruned and belongs to one instance.
Neither keeps earlier captions, so the check keeps a copy.

Two copies are kept, so that a check that runs again compares with the same captions as before. Captions
that failed are never kept.
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
# Metadata key of a copy: the materialization it was copied from.
VERSION = "wavcaps.materialization"


class Baseline:
    """The last captions of a table that passed, and those before them.

    Args:
        asset_key, partition: of the table.
        version: the materialization that is checked now.
    """

    def __init__(self, store: Store, asset_key: Sequence[str], partition: str | None, version: str) -> None:
        folder = "/".join(["quality", *asset_key, partition or WHOLE])
        self._store = store
        self._latest, self._earlier = f"{folder}/latest.parquet", f"{folder}/earlier.parquet"
        self._version = version

    def before(self) -> pa.Table | None:
        """The captions to compare with; None if no earlier materialization passed.

        `version_of` gives their materialization.
        """
        latest = self._read(self._latest)
        if latest is None or version_of(latest) != self._version:
            return latest
        return self._read(self._earlier)

    def keep(self, table: pa.Table) -> None:
        """Keeps captions that passed. The next materialization is compared with them."""
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
    """The materialization that captions were copied from."""
    metadata = table.schema.metadata or {}
    return str(metadata.get(VERSION.encode(), b"").decode())
