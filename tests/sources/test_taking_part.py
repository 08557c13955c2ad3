"""Which sources take part: those that are configured, or those that a list names."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from wavcaps_assets.definitions import build
from wavcaps_assets.filtering import FilterSettings
from wavcaps_assets.publishing.manifests import combine
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources import MODULES, all_sources, known_sources
from wavcaps_assets.sources.command import sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage
from wavcaps_assets.validation.settings import StudySettings

LIVE = Sources.LIVE


def names(settings: Settings) -> list[str]:
    return [source.name for source in all_sources(settings)]


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("own_folder")
def test_a_folder_of_your_own_is_enough_and_no_site_is_asked() -> None:
    assert names(Settings(sources=LIVE)) == ["local_folder"]


def test_each_source_says_what_it_needs(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(sources=LIVE)
    needs = {source.name: source.needs(settings).partition(":")[0] for source in known_sources(settings)}
    assert needs == {
        "freesound": "WAVCAPS_FREESOUND__TOKEN",
        "freesound_data_packs": "WAVCAPS_FREESOUND_DATA_PACKS__PATH",
        "bbc_sound_effects": "WAVCAPS_CONTACT",
        "soundbible": "WAVCAPS_CONTACT",
        "audioset_sl": "WAVCAPS_AUDIOSET__CLIPS_URL",
        "local_folder": "",
    }
    # Each of them takes part once it has that.
    for variable in {name for name in needs.values() if name}:
        monkeypatch.setenv(variable, "x")
    assert names(Settings(sources=LIVE)) == list(MODULES)


@pytest.mark.usefixtures("own_folder")
def test_a_list_of_names_is_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", " soundbible, freesound ,")
    assert names(Settings(sources=LIVE)) == ["freesound", "soundbible"]
    assert names(Settings()) == ["freesound", "soundbible"]


def test_a_name_that_no_source_has_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "local_foldr")
    with pytest.raises(ValueError, match=r"WAVCAPS_SOURCE_NAMES.*'local_foldr'.*'local_folder'"):
        all_sources(Settings())
    with pytest.raises(ValueError, match=r"'free_sound'.*'freesound'"):
        FilterSettings(frequency_filtered_sources=["free_sound"])
    with pytest.raises(ValueError, match=r"'bbc'"):
        StudySettings(sources=["bbc"])


@pytest.mark.slow
def test_the_graph_shows_the_others_and_waits_for_none(own_folder: Path) -> None:
    definitions = build(Settings(sources=LIVE))
    graph = definitions.resolve_asset_graph()
    freesound = graph.get(dg.AssetKey(["freesound", "raw_clips"]))
    assert not freesound.is_executable
    assert "needs WAVCAPS_FREESOUND__TOKEN" in (freesound.description or "")
    for asset in ("filtered_clips", "manifest"):
        partitions = graph.get(dg.AssetKey(asset)).partitions_def
        assert partitions is not None and partitions.get_partition_keys() == ["local_folder"]
    schedules = {schedule.name for schedule in definitions.schedules or ()}
    assert {name for name in schedules if name.startswith("crawl_")} == {"crawl_local_folder_missing"}


def test_the_locations_load_when_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAVCAPS_LOCAL_FOLDER__PATH", raising=False)
    assert names(Settings(sources=LIVE)) == []
    assert build(Settings(sources=LIVE)).get_repository_def()


def test_the_set_says_what_it_is_made_of(store: Store) -> None:
    tables = TableStore(store)
    for old in ("soundbible", "local_folder"):
        tables.write(["manifest"], old, MANIFEST.empty())
    whole = combine(MANIFEST.empty(), ["freesound", "local_folder"], tables)
    assert whole.left_out == ("soundbible",)
    for outcome in (whole.table, Stage(whole.table, DROPPED.empty())):
        tables.write(["wavcaps"], None, outcome)
        assert tables.sources_of(["wavcaps"]) == ["freesound", "local_folder"]
    # A table of an older version does not say.
    tables.write(["wavcaps"], None, MANIFEST.empty())
    assert tables.sources_of(["wavcaps"]) == []


@pytest.mark.slow
@pytest.mark.usefixtures("own_folder")
def test_a_source_that_is_not_captioned_yet_is_named_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "local_folder,freesound,soundbible")
    settings = Settings(sources=LIVE, store=str(tmp_path / "store"))
    TableStore(Store(tmp_path / "store")).write(["manifest"], "local_folder", MANIFEST.empty())
    job = build(settings).resolve_implicit_global_asset_job_def()
    with dg.instance_for_test() as instance, pytest.raises(Exception, match="has no table") as raised:
        job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("wavcaps")])
    said = str(raised.value.__cause__ or raised.value)
    assert said.startswith("manifest has no table of freesound, soundbible yet")
    assert "caption_source with the partition freesound (and so on for the others)" in said
    assert "WAVCAPS_SOURCE_NAMES=local_folder," in said


@pytest.mark.usefixtures("own_folder")
def test_the_command_lists_all_with_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_SOURCES", "live")
    printed = CliRunner().invoke(sources).output
    assert re.search(r"^local_folder +takes part \(partition catalogue\)$", printed, re.MULTILINE)
    assert re.search(r"^freesound +needs WAVCAPS_FREESOUND__TOKEN", printed, re.MULTILINE)
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "freesound")
    printed = CliRunner().invoke(sources).output
    assert re.search(r"^local_folder +left out", printed, re.MULTILINE)
    assert re.search(r"^freesound +takes part .*may need WAVCAPS_FREESOUND__TOKEN", printed, re.MULTILINE)


def test_the_embedded_model_is_a_name_on_any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", "embedded")
    monkeypatch.setenv("WAVCAPS_EMBEDDED_MODEL_PORT", "9001")
    live = Settings(sources=LIVE)
    assert live.embedded_model
    assert (live.llm.base_url, live.llm.model) == ("http://127.0.0.1:9001/v1", "smollm2-135m-instruct")
    monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", "")
    assert not Settings(sources=LIVE).embedded_model
