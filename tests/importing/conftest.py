"""An imported source through the lane, without Dagster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.presets import choose_rules, choose_settings, or_given, rules_of_given
from wavcaps_assets.captioning.refining import refine_captions
from wavcaps_assets.captioning.settings import CaptioningChoice
from wavcaps_assets.crawl.crawl import crawl
from wavcaps_assets.filtering import FilterSettings, filter_clips
from wavcaps_assets.network.client import Network
from wavcaps_assets.publishing.manifests import make_manifest
from wavcaps_assets.rules.settings import RuleChoice
from wavcaps_assets.sources.imported import PARTITION, imported_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

Lane = Callable[..., pa.Table]


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path / "store"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def lane(tables: TableStore, state: Path) -> Lane:
    """Crawls, fetches and publishes a source with given captions; returns its manifest."""

    def run(name: str) -> pa.Table:
        (source,) = (one for one in imported_sources(None, state) if one.name == name)
        with Network(state) as network:
            raw = crawl(source, PARTITION, network, tables).stage
            tables.write([name, "raw_clips"], PARTITION, raw)
            origin = Origin(network, state / "partial")
            audio = fetch_audio(source, PARTITION, raw.kept, tables, origin, FetchSettings())
        tables.write([name, "audio"], PARTITION, audio)
        filtered = filter_clips(raw.kept, audio, FilterSettings().for_given)
        captioning = choose_settings(name, False, or_given(CaptioningChoice(), source.as_given))
        captioned = caption_clips(filtered.kept, name, captioning, given=source.given_captions())
        rules = choose_rules(rules_of_given(RuleChoice(), captioning), False)
        refined = refine_captions(captioned.stage.kept, rules)
        manifest = make_manifest(refined.stage.kept, captioned.stage.kept, raw.kept, audio.kept)
        tables.write(["manifest"], name, manifest)
        return manifest.kept

    return run
