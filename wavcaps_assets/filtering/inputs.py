"""What stage 1 reads of a source: the columns it needs, a partition at a time, to spare memory."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from wavcaps_assets import schemas
from wavcaps_assets.filtering.stage1 import AUDIO_COLUMNS, RAW_COLUMNS
from wavcaps_assets.stages import Stage
from wavcaps_assets.table_store import TableStore


def read_inputs(tables: TableStore, source: str) -> tuple[pa.Table, Stage]:
    """The raw clips of a source, and what became of their audio, as `filter_clips` takes them.

    Raises:
        StoreError: a table cannot be read.
        OtherVersion: a table was written with other columns than those of today.
    """
    raw = _read(tables, [source, "raw_clips"], RAW_COLUMNS)
    audio = _read(tables, [source, "audio"], AUDIO_COLUMNS)
    return raw, Stage(audio, tables.read_dropped([source, "audio"]))


def _read(tables: TableStore, key: Sequence[str], columns: Sequence[str]) -> pa.Table:
    partitions = tables.partitions(key)
    empty = schemas.schema_of(key).empty().select(columns)
    return pa.concat_tables([empty, *(tables.read(key, [name]).select(columns) for name in partitions)])
