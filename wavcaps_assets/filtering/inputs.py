"""Reads the input of stage 1: only the columns that it needs, to save memory."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.filtering.settings import FilterSettings
from wavcaps_assets.filtering.stage1 import RAW_COLUMNS, audio_columns
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage


def read_inputs(tables: TableStore, source: str, settings: FilterSettings) -> tuple[pa.Table, Stage]:
    """The raw clips of a source and the outcome of their audio, for `filter_clips`.

    Raises:
        StoreError: a table cannot be read.
        OtherVersion: another version of this project wrote a table, with other columns.
    """
    raw = tables.read([source, "raw_clips"], columns=RAW_COLUMNS)
    audio = tables.read([source, "audio"], columns=audio_columns(settings))
    return raw, Stage(audio, tables.read_dropped([source, "audio"]))
