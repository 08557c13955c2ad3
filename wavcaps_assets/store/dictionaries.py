"""Which columns of a Parquet file are worth a dictionary: those whose values repeat.

Of a column such as `clip_id`, every value would be in the dictionary once, in a file that is larger and takes
twice as long to read.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE_ROWS = 20_000
# Of distinct values.
LARGEST_SHARE = 0.5


def repeating(table: pa.Table) -> list[str]:
    """The columns to write with a dictionary, as paths of Parquet's schema, such as `tags.list.element`."""
    # Imported here: every process opens a store, and few write a table.
    import pyarrow.compute as pc

    sample = table.slice(0, SAMPLE_ROWS)
    distinct = set()
    for name in table.column_names:
        column = sample.column(name)
        values = len(column) - column.null_count
        if pa.types.is_nested(column.type) or not values:
            continue
        if pc.count_distinct(column).as_py() > LARGEST_SHARE * values:
            distinct.add(name)
    return [path for path in _paths(table.schema) if path not in distinct]


def _paths(schema: pa.Schema) -> list[str]:
    file = io.BytesIO()
    pq.write_table(schema.empty_table(), file)
    parquet = pq.ParquetFile(file).schema
    return [parquet.column(number).path for number in range(len(parquet.names))]
