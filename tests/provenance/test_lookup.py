"""A clip is found by its file's name or a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rows import raw_row
from wavcaps_assets.provenance.lookup import SeveralClips, clip_id_of
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore

PAGE = "https://freesound.org/people/ada/sounds/1/"


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    tables = TableStore(Store(tmp_path))
    web = [
        raw_row("freesound-1", page_url=PAGE, audio_url="https://cdn.example/1.ogg"),
        raw_row("freesound-2", page_url=None, audio_url="https://cdn.example/rain.wav"),
    ]
    own = [raw_row("local_folder-dogs-rain", "local_folder", audio_url="dogs/rain.wav")]
    tables.write(["freesound", "raw_clips"], "2022-11", RAW_CLIPS.from_rows(web))
    tables.write(["local_folder", "raw_clips"], "catalogue", RAW_CLIPS.from_rows(own))
    return tables


@pytest.mark.parametrize(
    ("name", "clip_id"),
    [
        (PAGE, "freesound-1"),
        ("https://cdn.example/1.ogg", "freesound-1"),
        ("1.ogg", "freesound-1"),
        ("dogs/rain.wav", "local_folder-dogs-rain"),
        ("audio/local_folder/catalogue/local_folder-dogs-rain.flac", "local_folder-dogs-rain"),
        ("ain.wav", None),
        ("%.wav", None),
    ],
)
def test_a_name_means_a_clip(tables: TableStore, name: str, clip_id: str | None) -> None:
    assert clip_id_of(tables, name) == clip_id


def test_a_name_that_fits_several_clips_is_an_error(tables: TableStore) -> None:
    with pytest.raises(SeveralClips, match="freesound-2, local_folder-dogs-rain"):
        clip_id_of(tables, "rain.wav")
