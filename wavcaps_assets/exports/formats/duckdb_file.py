"""One DuckDB file: the clips, their labelled events, and what each version of the set changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.exports.export_folder import ExportFolder, Part
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.format import ExportFormat, FormatSettings
from wavcaps_assets.publishing.strong_labels import label_rows
from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.store.storage import StoreError
from wavcaps_assets.tables import MANIFEST, SET_CHANGES, STRONG_LABELS
from wavcaps_assets.tables.set_versions import SetVersions

FILE = "wavcaps.duckdb"
# The tables that have a schema, whose columns are described in the file.
SCHEMAS: Mapping[str, TableSchema] = {
    "manifest": MANIFEST,
    "strong_labels": STRONG_LABELS,
    "changes": SET_CHANGES,
}
VERSIONS = pa.schema(
    {
        "name": pa.string(),
        "content_hash": pa.string(),
        "created": pa.timestamp("us", tz="UTC"),
        "clips": pa.int64(),
        "previous": pa.string(),
    }
)


class DuckDbSettings(FormatSettings):
    """There is nothing to set."""


def write(exported: ExportedSet, settings: DuckDbSettings, folder: ExportFolder) -> None:
    """Writes `wavcaps.duckdb` with the tables `manifest`, `strong_labels`, `changes` and `versions`."""
    tables = {
        "manifest": exported.table,
        "strong_labels": label_rows(exported.table),
        "changes": _changes(exported),
        "versions": _versions(exported),
    }
    # DuckDB compresses what Arrow does not.
    size = sum(table.nbytes for table in tables.values())
    folder.require_space(size, size)
    folder.add("file", lambda part: _write_file(tables, part))


def _write_file(tables: Mapping[str, pa.Table], part: Part) -> None:
    import duckdb

    with part.file(FILE) as path:
        # DuckDB makes its files itself.
        path.unlink()
        try:
            with duckdb.connect(path) as database:
                for name, table in tables.items():
                    _write_table(database, name, table)
                # What cannot be written when a connection is closed is lost without an error.
                database.execute("checkpoint")
        except duckdb.Error as error:
            raise StoreError(f"DuckDB cannot write {FILE}: {error}; free some space") from error
    part.clips = tables["manifest"].num_rows


def _write_table(database: Any, name: str, table: pa.Table) -> None:
    database.register("rows", table)
    database.execute(f"create table {name} as select * from rows")
    database.unregister("rows")
    for column in SCHEMAS[name].columns if name in SCHEMAS else ():
        text = column.description.replace("'", "''")
        database.execute(f"comment on column {name}.{column.name} is '{text}'")


def _changes(exported: ExportedSet) -> pa.Table:
    """What the version and those before it changed; of a slice, only of the clips that it has."""
    known = SetVersions(exported.store)
    tables = []
    for version in known.all():
        if version.number <= exported.version.number:
            changed = known.changes(version)
            tables.append(changed.append_column("version", pa.repeat(version.name, changed.num_rows)))
    empty = SET_CHANGES.empty().append_column("version", pa.array([], pa.string()))
    changes = pa.concat_tables([empty, *tables])
    if not exported.slice:
        return changes
    return changes.filter(pc.is_in(changes.column("clip_id"), exported.table.column("clip_id")))


def _versions(exported: ExportedSet) -> pa.Table:
    """The versions up to this one, which is the last row."""
    rows = [
        version.model_dump(include={*VERSIONS.names})
        for version in SetVersions(exported.store).all()
        if version.number <= exported.version.number
    ]
    return pa.Table.from_pylist(rows, VERSIONS)


FORMAT = ExportFormat(
    "duckdb_file",
    "One DuckDB file: the clips, their labelled events, the changes of each version. Without audio.",
    DuckDbSettings,
    write,
    frozenset({"duckdb"}),
)
