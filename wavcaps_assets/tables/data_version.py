"""The version of an asset's data: two materializations with the same version have the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from wavcaps_assets.store.row_hash import LENGTH, rows_hash
from wavcaps_assets.tables import DROPPED, schema_of
from wavcaps_assets.tables.stage import Stage


def data_version(asset_key: Sequence[str], outcome: pa.Table | Stage) -> str:
    """A hash of a table's rows, see `rows_hash`; of a stage, also of what it dropped, and of its settings."""
    schema = schema_of(asset_key)
    if isinstance(outcome, pa.Table):
        return rows_hash(outcome, schema)
    rows = (rows_hash(outcome.kept, schema), rows_hash(outcome.dropped, DROPPED))
    return hashlib.sha256("\0".join((*rows, outcome.settings or "")).encode()).hexdigest()[:LENGTH]
