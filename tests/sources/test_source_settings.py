"""Every source's own settings, from the environment variables that they have always had."""

from __future__ import annotations

import json
from datetime import date

import pytest
from pydantic import ValidationError

from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.audioset_sl import AudiosetSettings
from wavcaps_assets.sources.bbc_sound_effects import BbcSettings
from wavcaps_assets.sources.freesound_settings import FreesoundSettings, last_full_month
from wavcaps_assets.sources.local_folder import LocalFolderSettings
from wavcaps_assets.sources.soundbible import SoundbibleSettings

DEMO = "http://127.0.0.1:8731"


def test_the_demo_fills_what_is_left_empty() -> None:
    freesound = FreesoundSettings.read(DEMO)
    assert freesound.base_url == f"{DEMO}/freesound"
    assert freesound.token.get_secret_value() == "demo"
    assert (freesound.first_month, freesound.last_month) == ("2022-09", "2022-11")
    bbc = BbcSettings.read(DEMO)
    assert (bbc.api_url, bbc.media_url, bbc.site_url) == (f"{DEMO}/bbc", f"{DEMO}/bbc-media", "")
    assert SoundbibleSettings.read(DEMO).base_url == f"{DEMO}/soundbible"
    audioset = AudiosetSettings.read(DEMO)
    assert audioset.labels_url == f"{DEMO}/audioset/labels"
    assert audioset.clips_url == f"{DEMO}/audioset/clips"
    assert audioset.watch_url == ""


def test_the_real_sites_fill_what_is_left_empty() -> None:
    freesound = FreesoundSettings.read(None)
    assert freesound.base_url == "https://freesound.org"
    assert freesound.token.get_secret_value() == ""
    assert freesound.first_month == "2005-04"
    assert freesound.last_month == last_full_month(date.today())
    bbc = BbcSettings.read(None)
    assert bbc.api_url == "https://sound-effects-api.bbcrewind.co.uk"
    assert bbc.media_url == "https://sound-effects-media.bbcrewind.co.uk"
    assert bbc.site_url == "https://sound-effects.bbcrewind.co.uk"
    assert SoundbibleSettings.read(None).base_url == "https://soundbible.com"
    audioset = AudiosetSettings.read(None)
    assert audioset.clips_url == ""
    assert audioset.watch_url == "https://www.youtube.com/watch"
    assert LocalFolderSettings.read(None).path is None


def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_FREESOUND__TOKEN", "mine")
    monkeypatch.setenv("WAVCAPS_FREESOUND__FIRST_MONTH", "2020-01")
    monkeypatch.setenv("WAVCAPS_BBC__PAGE_SIZE", "7")
    monkeypatch.setenv("WAVCAPS_SOUNDBIBLE", json.dumps({"base_url": "http://sounds.example"}))
    monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", "")
    assert FreesoundSettings.read(None).token.get_secret_value() == "mine"
    assert FreesoundSettings.read(DEMO).first_month == "2020-01"
    assert BbcSettings.read(DEMO).page_size == 7
    assert SoundbibleSettings.read(DEMO).base_url == "http://sounds.example"
    assert LocalFolderSettings.read(DEMO).path is None


def test_an_error_names_the_setting_and_never_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_FREESOUND__TOKEN", "secret-token")
    monkeypatch.setenv("WAVCAPS_FREESOUND__FIRST_MONTH", "last spring")
    with pytest.raises(ValidationError, match=r"freesound\.first_month") as caught:
        all_sources(Settings(sources=Sources.LIVE))
    assert "secret-token" not in str(caught.value)
    assert "last spring" not in str(caught.value)
    # What does not crawl is not stopped by it.
    assert Settings().sources is Sources.EMBEDDED


@pytest.mark.parametrize(("today", "month"), [(date(2026, 1, 31), "2025-12"), (date(2026, 12, 1), "2026-11")])
def test_the_last_full_month(today: date, month: str) -> None:
    assert last_full_month(today) == month
