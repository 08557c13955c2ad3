"""Reads tables that an older version of the project wrote: columns that it did not have are null.

A file's version is in the metadata of Parquet. Files without it are of the first version. A table gets the
new layout when its asset is materialized again, since every write is in the newest one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.store.schema import SchemaError, TableSchema

# Metadata key of a table's file: the version of the schema that it was written with.
SCHEMA_VERSION = "wavcaps.schema_version"


class UnknownLayout(SchemaError):
    """A table's columns are those of no version of its schema."""


class NewerLayout(UnknownLayout):
    """A table was written by a newer version of the project."""


def read_columns(file: pq.ParquetFile, schema: TableSchema, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a table that this or an older version of the project wrote.

    Args:
        schema: what this version of the project writes.
        columns: the columns to read, in this order; None for all.

    Raises:
        UnknownLayout, NewerLayout: no version of the schema has the file's columns.
    """
    wanted = schema.arrow.names if columns is None else list(columns)
    added = added_since(schema, file.schema_arrow)
    table = file.read([name for name in wanted if name not in added])
    for name in added.intersection(wanted):
        table = table.append_column(name, pa.nulls(table.num_rows, schema.arrow.field(name).type))
    return table.select(wanted).cast(pa.schema([schema.arrow.field(name) for name in wanted]))


def added_since(schema: TableSchema, written: pa.Schema) -> frozenset[str]:
    """The columns that were added to a schema after a file was written.

    Args:
        written: the columns of the file, and its metadata.

    Raises:
        UnknownLayout, NewerLayout: no version of the schema has these columns.
    """
    version = version_of(written)
    if version is not None and version > schema.version:
        raise NewerLayout(
            f"a newer version of the project wrote it (version {version} of the table {schema.name!r}; this "
            f"one knows version {schema.version}): update the project"
        )
    versions = range(1, schema.version + 1) if version is None else [version]
    for known in versions:
        if schema.names_in(known) == set(written.names):
            return frozenset(schema.arrow.names) - schema.names_in(known)
    raise UnknownLayout(
        f"it has other columns than the table {schema.name!r} of this version of the project"
        f"{_difference(schema, version or 1, written.names)}"
    )


def fits(schema: TableSchema, names: Collection[str]) -> bool:
    """Whether some version of a schema has exactly these columns."""
    return any(schema.names_in(version) == set(names) for version in range(1, schema.version + 1))


def version_of(written: pa.Schema) -> int | None:
    """The version of the schema that a file was written with; None if the file does not say."""
    text = (written.metadata or {}).get(SCHEMA_VERSION.encode(), b"")
    return int(text) if text.isdigit() else None


def _difference(schema: TableSchema, version: int, names: Collection[str]) -> str:
    missing = sorted(schema.names_in(version) - set(names))
    unknown = sorted(set(names) - set(schema.arrow.names))
    parts = [
        f"{what} {', '.join(some)}"
        for what, some in (("it lacks", missing), ("unknown are", unknown))
        if some
    ]
    return f" ({'; '.join(parts)})" if parts else ""
