from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audio.fetching import Fetching, wav
from tests.support.rude_server import answer, rude_server
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Fetching]:
    with rude_server() as server:
        server.answers["/good.wav"] = answer(wav())
        yield Fetching(server, TableStore(Store(tmp_path / "store")), tmp_path)
