"""A store for the tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path / "store"))
