"""A hash of a table's rows, which says whether two tables have the same data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from wavcaps_assets.store.schema import TableSchema

LENGTH = 16


def rows_hash(table: pa.Table, schema: TableSchema, order: pa.Array | None = None) -> str:
    """A hash of the rows in their order, or in another one.

    How the table is stored, and how it is cut into chunks, does not matter. Columns that the schema declares
    as no part of the data (`Column.is_data`) do not count. Neither does a column without any value: so a new
    column, which is null in all old rows, does not change the hash.

    Args:
        table: has the schema's columns, in any order.
        order: the numbers of the rows, in the order that counts; None: their own.
    """
    digest = hashlib.sha256(f"{table.num_rows}".encode())
    for name in sorted(column.name for column in schema.columns if column.is_data):
        column = table.column(name)
        if column.null_count < len(column):
            ordered = column if order is None else column.take(order)
            digest.update(f"\0{name}\0".encode() + _hash_of(ordered))
    return digest.hexdigest()[:LENGTH]


def _hash_of(column: pa.ChunkedArray) -> bytes:
    """Hashes the parts of an array, such as lengths and letters, each by itself: so chunks do not matter."""
    digests: dict[str, hashlib._Hash] = {}
    for chunk in column.chunks:
        for part, content in _parts(chunk, ""):
            digests.setdefault(part, hashlib.sha256()).update(content)
    whole = hashlib.sha256()
    for part in sorted(digests):
        whole.update(f"{part}\0".encode() + digests[part].digest())
    return whole.digest()


def _parts(array: pa.Array, path: str) -> Iterator[tuple[str, memoryview | bytes]]:
    """The content of an array as parts: where values are, how long they are, and the values."""
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    yield f"{path}?", _bytes_of(array.is_valid().cast(pa.uint8()))
    if pa.types.is_struct(array.type):
        for field, child in zip(array.type, array.flatten(), strict=True):
            yield from _parts(child, f"{path}.{field.name}")
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        yield f"{path}#", _bytes_of(pc.list_value_length(array).fill_null(0).cast(pa.int64()))
        yield from _parts(pc.list_flatten(array), f"{path}[]")
    elif pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        array = array.fill_null(b"" if pa.types.is_binary(array.type) else "")
        yield f"{path}#", _bytes_of(pc.binary_length(array).cast(pa.int64()))
        _, offsets, letters = array.buffers()
        if letters is not None:
            bounds = memoryview(offsets).cast("i")
            first, last = bounds[array.offset], bounds[array.offset + len(array)]
            yield path, memoryview(letters)[first:last]
    elif pa.types.is_boolean(array.type):
        yield path, _bytes_of(array.fill_null(False).cast(pa.uint8()))
    elif pa.types.is_timestamp(array.type):
        yield path, _bytes_of(array.cast(pa.int64()).fill_null(0))
    else:
        yield path, _bytes_of(array.fill_null(0))


def _bytes_of(array: pa.Array) -> memoryview:
    """The values of an array of numbers without nulls."""
    if not len(array):
        return memoryview(b"")
    width = array.type.bit_width // 8
    start = array.offset * width
    return memoryview(array.buffers()[1])[start : start + len(array) * width]
