"""All sources, crawled from the demo's server with their audio, as the assets do it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.crawl.crawl import crawl
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.network.client import Network
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import SAFE_ID, Source
from wavcaps_assets.sources.freesound import Freesound
from wavcaps_assets.sources.freesound_oauth import exchange
from wavcaps_assets.sources.freesound_settings import FreesoundSettings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

NAMES = ["freesound", "bbc_sound_effects", "soundbible", "audioset_sl"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=24, scenes=12)


@pytest.fixture(scope="module")
def settings(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_server(corpus) as url:
        port = int(url.rpartition(":")[2])
        yield Settings(embedded_sources_port=port, state=tmp_path_factory.mktemp("state"))


@pytest.fixture
def network(settings: Settings) -> Iterator[Network]:
    with Network(settings.state, settings.network) as client:
        yield client


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path))


def crawled(source: Source, network: Network, tables: TableStore) -> dict[str, dict[str, Any]]:
    stages = [crawl(source, partition, network, tables).stage for partition in source.partitions()]
    assert [stage.dropped.num_rows for stage in stages] == [0] * len(stages)
    rows = [row for stage in stages for row in stage.kept.to_pylist()]
    found = {row["clip_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_crawl_finds_every_clip_with_its_words(
    corpus: Corpus, settings: Settings, network: Network, tables: TableStore, name: str
) -> None:
    (source,) = (source for source in all_sources(settings) if source.name == name)
    found = crawled(source, network, tables)
    clips = {clip.clip_id: clip for clip in corpus.clips if clip.source.value == name}
    assert found.keys() == clips.keys()
    for clip_id, row in found.items():
        clip = clips[clip_id]
        assert row["claimed_duration_s"] == pytest.approx(clip.duration_s, abs=0.5)
        if name == "audioset_sl":
            assert [event["label"] for event in row["events"]] == [
                event.label for event in sorted(clip.events, key=lambda event: event.onset_s)
            ]
            assert row["start_s"] == int(clip.source_id.rpartition("_")[2]) / 1000
            assert row["licence_class"] == "unknown"
        else:
            assert row["description"] == clip.text
            assert row["author"] == clip.author
            # The demo's SoundBible words the licence as the site does, without saying which dedication.
            assert row["licence_class"] == ("public domain" if name == "soundbible" else "CC0")
            assert row["attribution"].isprintable()
            assert clip.author in row["attribution"]


def test_small_pages_list_the_same_clips(settings: Settings, network: Network, tables: TableStore) -> None:
    freesound = FreesoundSettings.read(settings.demo_url)
    whole = crawled(Freesound(freesound, settings.state), network, tables)
    small = freesound.model_copy(update={"page_size": 2})
    assert crawled(Freesound(small, settings.state), network, tables).keys() == whole.keys()


def audio_of(source: Source, network: Network, tables: TableStore, tmp_path: Path) -> list[Stage]:
    """Crawls a source and fetches its audio."""
    stages = []
    for partition in source.partitions():
        clips = crawl(source, partition, network, tables).stage.kept
        origin = Origin(network, tmp_path / "partial")
        stages.append(fetch_audio(source, partition, clips, tables, origin, FetchSettings()))
    return stages


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_audio_of_every_clip_is_stored_or_gone(
    corpus: Corpus, settings: Settings, network: Network, tables: TableStore, tmp_path: Path, name: str
) -> None:
    (source,) = (source for source in all_sources(settings) if source.name == name)
    stages = audio_of(source, network, tables, tmp_path)
    clips = {clip.clip_id: clip for clip in corpus.clips if clip.source.value == name}
    lost = {clip_id for clip_id, clip in clips.items() if not clip.audio}
    dropped = [row for stage in stages for row in stage.dropped.to_pylist()]
    assert {(row["clip_id"], row["reason"]) for row in dropped} == {
        (clip_id, "audio_gone") for clip_id in lost
    }
    stored = {row["clip_id"] for stage in stages for row in stage.kept.to_pylist()}
    assert stored == clips.keys() - lost


def test_originals_are_the_files_that_were_uploaded(
    corpus: Corpus, settings: Settings, network: Network, tables: TableStore, tmp_path: Path
) -> None:
    freesound = FreesoundSettings.read(settings.demo_url)
    chosen = freesound.model_copy(update={"audio": "original", "client_id": "demo"})
    exchange(chosen, settings.state, network, "a code")
    stages = audio_of(Freesound(chosen, settings.state), network, tables, tmp_path)
    stored = {row["clip_id"]: row["original_sha256"] for stage in stages for row in stage.kept.to_pylist()}
    uploaded = {
        clip.clip_id: hashlib.sha256(path.read_bytes()).hexdigest()
        for clip in corpus.clips
        if clip.source.value == "freesound" and (path := corpus.path(clip))
    }
    assert stored == uploaded
    assert stored


def test_every_source_has_a_name_of_its_own_and_partitions(settings: Settings) -> None:
    sources = all_sources(settings)
    assert [source.name for source in sources] == NAMES
    for source in sources:
        assert len(set(source.partitions())) == len(source.partitions()) > 0
        assert all(SAFE_ID.fullmatch(partition) for partition in source.partitions())
