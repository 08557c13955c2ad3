"""The tables of the assets in the store: per partition, one Parquet file, and one for the dropped clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import pyarrow as pa

from wavcaps_assets.store.migration import NewerLayout, UnknownLayout, read_columns
from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.store.storage import DamagedTable, MissingFile, Store, StoreError
from wavcaps_assets.tables import DROPPED, schema_of
from wavcaps_assets.tables.stage import Stage

WHOLE = "all"
DROPPED_SUFFIX = ".dropped.parquet"
# Metadata keys of a table's file: the crawl or fetch that produced it, and the settings of its stage.
CRAWL_ID = "wavcaps.round"
SETTINGS = "wavcaps.settings"
# Of the whole set: the names of the sources that it is made of, separated by commas.
SOURCES = "wavcaps.sources"
# Of the whole set, and of what is made of it: the name of the published version.
SET_VERSION = "wavcaps.set_version"
# Of a comparison by sound: a hash of the benchmark's audio.
COMPARED_WITH = "wavcaps.compared_with"
KEPT_METADATA = (SOURCES, SET_VERSION, COMPARED_WITH)


class OtherVersion(StoreError):
    """A table was written by a version of the project whose tables this one cannot read."""


class NewerVersion(OtherVersion):
    """A newer version of the project wrote a table. To write it again would lose its columns."""


class WrittenSince(StoreError):
    """Another process has written the table since this one began, as after this machine slept."""


class TableStore:
    """Reads and writes an asset's table by the asset's key and partition."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, asset_key: Sequence[str], partition: str | None, outcome: pa.Table | Stage) -> int:
        """Checks and writes a table, or a stage's two. Returns the size in bytes.

        Raises:
            SchemaError: the table is not what `tables/` promises for this asset.
            StoreError: it cannot be written.
            WrittenSince: the stage replaces a table that is no longer there, because another process wrote
                one since.
        """
        schema = schema_of(asset_key)
        if isinstance(outcome, pa.Table):
            return self.store.write_table(
                path_of(asset_key, partition), outcome, schema, _kept_metadata(outcome)
            )
        if outcome.replaces is not None and partition is not None:
            there = self.crawl_id_of(asset_key, partition)
            if there not in (None, outcome.replaces, outcome.crawl_id):
                raise WrittenSince(
                    f"{self.store.describe(path_of(asset_key, partition))} was written by another process "
                    "while this one worked, and is kept: run this again"
                )
        # The dropped clips first: a run killed between the two writes then leaves the old table with
        # too many reasons, which the check `nothing_lost` reports, and never a table without reasons.
        size = self.store.write_table(path_of(asset_key, partition, dropped=True), outcome.dropped, DROPPED)
        metadata = {CRAWL_ID: outcome.crawl_id, SETTINGS: outcome.settings}
        about = {name: value for name, value in metadata.items() if value} | _kept_metadata(outcome.kept)
        return size + self.store.write_table(path_of(asset_key, partition), outcome.kept, schema, about)

    def read(
        self,
        asset_key: Sequence[str],
        partitions: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """An asset's table. If an older version wrote it, columns that were added since are null.

        The table of one partition has the metadata `KEPT_METADATA` of its file.

        Args:
            partitions: the partitions to read, `WHOLE` for an asset without partitions; None for all
                that exist, which may be none.
            columns: the columns to read, in this order; None for all.

        Raises:
            StoreError: a table is missing; says what to materialize.
            OtherVersion: a table's columns are those of no version of its schema.
            NewerVersion: a newer version of the project wrote a table.
        """
        schema = schema_of(asset_key)
        paths = self._paths(asset_key, partitions)
        wanted = schema.arrow.names if columns is None else list(columns)
        tables = [self._table(path, schema, wanted) for path in paths]
        whole = pa.concat_tables([schema.empty().select(wanted), *tables])
        return whole.replace_schema_metadata(tables[0].schema.metadata) if len(tables) == 1 else whole

    def read_dropped(self, asset_key: Sequence[str], partitions: Sequence[str] | None = None) -> pa.Table:
        """The clips that an asset dropped. A partition without such a table dropped none."""
        there = self.store.sizes(_folder_of(asset_key))
        paths = [
            dropped
            for path in self._paths(asset_key, partitions)
            if PurePosixPath(dropped := path.removesuffix(".parquet") + DROPPED_SUFFIX).name in there
        ]
        tables = [self._table(path, DROPPED, DROPPED.arrow.names) for path in paths]
        return pa.concat_tables([DROPPED.empty(), *tables])

    def read_stage(self, asset_key: Sequence[str], partitions: Sequence[str] | None = None) -> Stage:
        return Stage(self.read(asset_key, partitions), self.read_dropped(asset_key, partitions))

    def crawl_id_of(self, asset_key: Sequence[str], partition: str) -> str | None:
        """The id of the crawl or fetch that produced a partition's table; None if there is no table."""
        return self._metadata(asset_key, partition, CRAWL_ID)

    def settings_of(self, asset_key: Sequence[str], partition: str) -> str | None:
        """The settings of the stage that made a partition's table; None if they are not stored."""
        return self._metadata(asset_key, partition, SETTINGS)

    def sources_of(self, asset_key: Sequence[str]) -> list[str]:
        """The sources that a table of the whole set is made of; empty: no table, or one that does not say."""
        return [name for name in (self._metadata(asset_key, WHOLE, SOURCES) or "").split(",") if name]

    def exists(self, asset_key: Sequence[str], partition: str | None) -> bool:
        return self.store.exists(path_of(asset_key, partition))

    def rows(self, asset_key: Sequence[str], partition: str | None) -> int:
        """The number of rows of a partition's table; 0 if there is none."""
        if not self.exists(asset_key, partition):
            return 0
        with self.store.opening_table(path_of(asset_key, partition)) as file:
            return int(file.metadata.num_rows)

    def partitions(self, asset_key: Sequence[str]) -> list[str]:
        """The partitions that have a table."""
        return [PurePosixPath(path).stem for path in self._paths(asset_key, None)]

    def _metadata(self, asset_key: Sequence[str], partition: str, name: str) -> str | None:
        if not self.exists(asset_key, partition):
            return None
        try:
            with self.store.opening_table(path_of(asset_key, partition)) as file:
                about = file.schema_arrow.metadata or {}
        except DamagedTable:
            # The next materialization starts as if there were no table.
            return None
        return about[name.encode()].decode() if name.encode() in about else None

    def _table(self, path: str, schema: TableSchema, columns: Sequence[str]) -> pa.Table:
        try:
            with self.store.opening_table(path) as file:
                table = read_columns(file, schema, columns)
                return table.replace_schema_metadata(_kept_metadata(file.schema_arrow))
        except MissingFile as error:
            raise MissingFile(
                f"there is no table {self.store.describe(path)}: materialize {_asset_of(path)} first"
            ) from error
        except NewerLayout as error:
            raise NewerVersion(f"{self.store.describe(path)} cannot be read: {error}") from error
        except UnknownLayout as error:
            raise OtherVersion(
                f"{self.store.describe(path)} cannot be read: {error}: materialize its asset again"
            ) from error

    def _paths(self, asset_key: Sequence[str], partitions: Sequence[str] | None) -> list[str]:
        if partitions is not None:
            return [path_of(asset_key, partition) for partition in partitions]
        folder = _folder_of(asset_key)
        paths = [
            f"{folder}/{name}"
            for name in sorted(self.store.sizes(folder))
            if name.endswith(".parquet") and not name.endswith(DROPPED_SUFFIX)
        ]
        # Older versions wrote the last partition of a backfill here too. It is a copy, or out of date.
        whole = path_of(asset_key, None)
        return [path for path in paths if path != whole] if len(paths) > 1 else paths


def set_version_of(table: pa.Table) -> str | None:
    """The published version of the set that a table is, or is made of; None: not known, or of no set."""
    return _kept_metadata(table).get(SET_VERSION)


def with_set_version(table: pa.Table, name: str | None) -> pa.Table:
    """A table that says which version of the set it is, or is made of."""
    return table.replace_schema_metadata({**_kept_metadata(table), **({SET_VERSION: name} if name else {})})


def compared_with_of(table: pa.Table) -> str | None:
    """A hash of the audio of the benchmark that a table was compared with; None: not known."""
    return _kept_metadata(table).get(COMPARED_WITH)


def with_compared_with(table: pa.Table, audio: str) -> pa.Table:
    """A table that says which audio of a benchmark it was compared with."""
    return table.replace_schema_metadata({**_kept_metadata(table), COMPARED_WITH: audio})


def _kept_metadata(of: pa.Table | pa.Schema) -> dict[str, str]:
    """What a table's metadata says about the set."""
    own = (of.schema if isinstance(of, pa.Table) else of).metadata or {}
    return {name: own[name.encode()].decode() for name in KEPT_METADATA if name.encode() in own}


def _asset_of(path: str) -> str:
    """The asset and the partition of a table's path, for people."""
    _, *key, name = PurePosixPath(path).parts
    partition = name.removesuffix(DROPPED_SUFFIX).removesuffix(".parquet")
    return "/".join(key) + ("" if partition == WHOLE else f", partition {partition},")


def _folder_of(asset_key: Sequence[str]) -> str:
    return str(PurePosixPath(path_of(asset_key, None)).parent)


def path_of(asset_key: Sequence[str], partition: str | None, *, dropped: bool = False) -> str:
    """Where a table is in the store.

    Raises:
        StoreError: a name is not a plain file name.
    """
    parts = [*asset_key, partition or WHOLE]
    if any(part in {"", ".", ".."} or "/" in part or part.startswith(".") for part in parts):
        raise StoreError(f"{'/'.join(parts)!r} cannot be a path in the store")
    return "/".join(["tables", *parts]) + (DROPPED_SUFFIX if dropped else ".parquet")
