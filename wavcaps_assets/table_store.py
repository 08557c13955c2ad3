"""The tables of the assets, in the store: one Parquet file a partition, and one for what was dropped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import pyarrow as pa

from wavcaps_assets import schemas
from wavcaps_assets.stages import Stage
from wavcaps_assets.storage import Store, StoreError

WHOLE = "all"


class TableStore:
    """Reads and writes an asset's table by the asset's key and partition."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, asset_key: Sequence[str], partition: str | None, outcome: pa.Table | Stage) -> int:
        """Checks and writes a table, or a stage's two. Returns the size in bytes.

        Raises:
            SchemaError: the table is not what `schemas.py` promises for this asset.
            StoreError: it cannot be written.
        """
        schema = schemas.schema_of(asset_key)
        if isinstance(outcome, pa.Table):
            return self.store.write_table(path_of(asset_key, partition), outcome, schema)
        # The dropped ones first: a run killed between the two leaves the old table with too many
        # reasons, which the check `nothing_lost` sees, and never a table with none.
        size = self.store.write_table(
            path_of(asset_key, partition, dropped=True), outcome.dropped, schemas.DROPPED
        )
        return size + self.store.write_table(path_of(asset_key, partition), outcome.kept, schema)

    def read(self, asset_key: Sequence[str], partitions: Sequence[str] | None = None) -> pa.Table:
        """An asset's table.

        Args:
            partitions: the partitions wanted; None: all that are there.

        Raises:
            StoreError: a wanted partition, or the table of an asset without partitions, is missing.
        """
        paths = self._paths(asset_key, partitions)
        empty = schemas.schema_of(asset_key).empty()
        return pa.concat_tables([empty, *(self.store.read_table(path).cast(empty.schema) for path in paths)])

    def read_dropped(self, asset_key: Sequence[str], partitions: Sequence[str] | None = None) -> pa.Table:
        """What an asset set aside. A partition without such a table set nothing aside."""
        paths = [
            dropped
            for path in self._paths(asset_key, partitions)
            if self.store.exists(dropped := path.removesuffix(".parquet") + ".dropped.parquet")
        ]
        empty = schemas.DROPPED.empty()
        return pa.concat_tables([empty, *(self.store.read_table(path).cast(empty.schema) for path in paths)])

    def read_stage(self, asset_key: Sequence[str], partitions: Sequence[str] | None = None) -> Stage:
        return Stage(self.read(asset_key, partitions), self.read_dropped(asset_key, partitions))

    def exists(self, asset_key: Sequence[str], partition: str | None) -> bool:
        return self.store.exists(path_of(asset_key, partition))

    def _paths(self, asset_key: Sequence[str], partitions: Sequence[str] | None) -> list[str]:
        if partitions is not None:
            return [path_of(asset_key, partition) for partition in partitions]
        folder = PurePosixPath(path_of(asset_key, None)).parent
        found = sorted(
            path.name
            for path in self.store.path(str(folder)).glob("[!.]*.parquet")
            if not path.name.endswith(".dropped.parquet")
        )
        return [str(folder / name) for name in found]


def path_of(asset_key: Sequence[str], partition: str | None, *, dropped: bool = False) -> str:
    """Where a table stands in the store.

    Raises:
        StoreError: a name that is no plain file name.
    """
    parts = [*asset_key, partition or WHOLE]
    if any(part in {"", ".", ".."} or "/" in part or part.startswith(".") for part in parts):
        raise StoreError(f"{'/'.join(parts)!r} cannot be a path in the store")
    return "/".join(["tables", *parts]) + (".dropped.parquet" if dropped else ".parquet")
