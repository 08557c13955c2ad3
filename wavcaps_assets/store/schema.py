"""Table schemas: named, typed, documented columns, checked whenever a table is written.

`tables/` declares this project's tables with these classes. A schema that gets a column gets a new version:
the column says which one in `added_in`. `store/migration.py` reads the files of older versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa


class SchemaError(ValueError):
    """A table does not match its schema."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: the column's name.
        type: its Arrow type.
        description: what it contains, with its unit.
        nullable: whether its values may be null.
        derived_from: the columns of upstream tables that it is computed from, shown as column
            lineage; None: the column of the same name.
        added_in: the version of the table's schema that has the column first. A column that was added
            later is nullable, since it is null in the rows of older files.
        is_data: false for what says only when or how fast something was done, where a file is, or what
            was found, in words for people, and for a hash of other columns. A change of it is no change of
            the data (`row_hash`).
    """

    name: str
    type: pa.DataType
    description: str
    nullable: bool = False
    derived_from: tuple[str, ...] | None = None
    added_in: int = 1
    is_data: bool = True

    def __post_init__(self) -> None:
        if self.added_in > 1 and not self.nullable:
            raise ValueError(f"column {self.name!r} was added later, so it must be nullable")

    @property
    def origins(self) -> tuple[str, ...]:
        return (self.name,) if self.derived_from is None else self.derived_from


@dataclass(frozen=True)
class TableSchema:
    """A table's columns, in order, and the columns that identify a row (its key)."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("clip_id",)

    @property
    def version(self) -> int:
        """The version of the schema: counts from 1, and increases when columns are added."""
        return max((column.added_in for column in self.columns), default=1)

    def names_in(self, version: int) -> frozenset[str]:
        """The columns that a version of the schema has."""
        return frozenset(column.name for column in self.columns if column.added_in <= version)

    @cached_property
    def arrow(self) -> pa.Schema:
        """The columns as an Arrow schema."""
        return pa.schema(
            [
                pa.field(c.name, c.type, nullable=c.nullable, metadata={"description": c.description})
                for c in self.columns
            ]
        )

    def empty(self) -> pa.Table:
        return self.arrow.empty_table()

    def from_rows(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Makes a table from one mapping per row, and checks it.

        Raises:
            SchemaError: a value does not fit its column, or the table does not match the schema.
        """
        materialised = list(rows)
        if not materialised:
            return self.empty()
        unknown = set().union(*materialised) - set(self.arrow.names)
        if unknown:
            raise SchemaError(f"table {self.name!r} has no column {', '.join(sorted(unknown))}")
        arrays = []
        for field in self.arrow:
            values = [row.get(field.name) for row in materialised]
            try:
                arrays.append(pa.array(values, type=field.type))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
                raise SchemaError(
                    f"table {self.name!r}, column {field.name!r} requires {field.type}: {error}"
                ) from error
        return self.check(pa.table(arrays, schema=self.arrow))

    def check(self, table: pa.Table) -> pa.Table:
        """Returns the table with its columns in order.

        Raises:
            SchemaError: the table does not match; names the table, the column and, for a row, its key.
        """
        missing = [name for name in self.arrow.names if name not in table.column_names]
        extra = [name for name in table.column_names if name not in self.arrow.names]
        if missing or extra:
            raise SchemaError(
                f"table {self.name!r} "
                + "; ".join(
                    f"{what}: {', '.join(names)}"
                    for what, names in (("lacks columns", missing), ("has unknown columns", extra))
                    if names
                )
            )
        table = table.select(self.arrow.names)
        for field in self.arrow:
            column = table.column(field.name)
            if column.type != field.type:
                raise SchemaError(
                    f"table {self.name!r}, column {field.name!r} is {column.type}, not {field.type}"
                )
            if not field.nullable and column.null_count:
                first = column.is_null().to_pylist().index(True)
                key = {name: table.column(name)[first].as_py() for name in self.key}
                raise SchemaError(
                    f"table {self.name!r}, column {field.name!r} is empty in "
                    f"{column.null_count} rows, first where {key}"
                )
        if self.key:
            repeated = self.repeated_keys(table)
            if repeated.num_rows:
                raise SchemaError(
                    f"table {self.name!r} has {repeated.num_rows} repeated keys, "
                    f"first {repeated.slice(0, 1).to_pylist()[0]}"
                )
        return table.cast(self.arrow)

    def repeated_keys(self, table: pa.Table) -> pa.Table:
        """The keys that more than one row has, with the number of rows of each."""
        counts = table.group_by(list(self.key)).aggregate([([], "count_all")])
        # Imported here: every process loads schemas, and few compare one with a table.
        import pyarrow.compute as pc

        return counts.filter(pc.greater(counts.column("count_all"), 1))
