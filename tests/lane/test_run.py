"""`wavcaps run` on a folder of sounds: real runs, captions by rules, up to the published set."""

from __future__ import annotations

import csv
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from wavcaps_assets.lane.chapters import TINY, Stop, Training, chapters
from wavcaps_assets.lane.command import run
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore

HEARD = (
    "A dog barks in the yard",
    "Steady rain falls on a roof",
    "A rooster crows at dawn",
    "Sea waves break on the shore",
    "A clock ticks in a quiet room",
    "A helicopter flies past",
)
BY_RULES = "ops: {llm_captions: {config: {method: rules}}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of six sounds with its list, as the only source."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    with (sounds / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "description"])
        for index, text in enumerate(HEARD):
            noise = np.random.default_rng(index).normal(scale=0.1, size=64_000)
            soundfile.write(sounds / f"{index}.wav", noise, 32_000)
            writer.writerow([f"{index}.wav", text])
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WAVCAPS_SOURCES", "live")
    monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", str(sounds))
    (tmp_path / "rules.yaml").write_text(BY_RULES)
    return tmp_path


def wavcaps_run(*arguments: str) -> Result:
    return CliRunner().invoke(run, arguments)


@pytest.mark.parametrize("name", ["WAVCAPS_PROMPT", "WAVCAPS_OTHER_CAPTIONS"])
def test_what_captioning_would_refuse_is_refused_before_the_crawl(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "nope")
    refused = wavcaps_run("--until", "captions")
    assert refused.exit_code == 1
    assert f"{name}: there is no" in refused.output and "nope" in refused.output
    assert not [*folder.rglob("*.parquet")]


@pytest.mark.slow
def test_a_folder_is_published_without_a_key_and_goes_on_where_it_stopped(folder: Path) -> None:
    configured = ("--config", str(folder / "rules.yaml"))
    first = wavcaps_run("--until", "captions", *configured)
    assert first.exit_code == 0, first.output
    assert "local_folder/raw_clips: 6 rows" in first.output
    tables = TableStore(Store(folder / "home" / "store"))
    assert not tables.exists(["wavcaps"], None)
    # A source that took part once: its table stays, and is not published.
    rows = tables.read(["manifest"], ["local_folder"]).to_pylist()
    old = [
        row | {"clip_id": f"soundbible-{number}", "source": "soundbible"} for number, row in enumerate(rows)
    ]
    tables.write(["manifest"], "soundbible", MANIFEST.from_rows(old))
    done = wavcaps_run("--until", "publish", *configured)
    assert done.exit_code == 0, done.output
    assert f"{len(HEARD)} clips with a caption, from local_folder" in done.output
    published = tables.read(["wavcaps"]).to_pylist()
    assert {row["source"] for row in published} == {"local_folder"}
    assert len(published) == len(HEARD)
    assert tables.sources_of(["wavcaps"]) == ["local_folder"]
    # The web UI shows these runs: they are in the instance of DAGSTER_HOME.
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("wavcaps"))
        assert event is not None and event.asset_materialization is not None
        shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
        runs = [(made.job_name, made.tags.get("dagster/partition")) for made in instance.get_runs()]
    assert shown["sources"] == "local_folder"
    assert shown["left out, with a manifest in the store"] == "soundbible"
    assert runs == [
        ("publish", None),
        ("caption_source", "local_folder"),
        ("crawl_local_folder", "catalogue"),
        ("caption_source", "local_folder"),
        ("crawl_local_folder", "catalogue"),
    ]


@pytest.mark.slow
def test_a_site_that_is_down_makes_only_its_own_crawl_wait(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "soundbible,local_folder")
    # Nothing listens there.
    monkeypatch.setenv("WAVCAPS_SOUNDBIBLE__BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WAVCAPS_NETWORK__PRIVATE_HOSTS", '["127.0.0.1:9"]')
    monkeypatch.setenv("WAVCAPS_NETWORK__ATTEMPTS", "1")
    waits = wavcaps_run("--until", "captions", *("--config", str(folder / "rules.yaml")))
    # EX_TEMPFAIL, for the script that starts it again.
    assert waits.exit_code == 75
    assert "crawl_soundbible[catalogue] ... has to wait" in waits.output
    assert "local_folder/raw_clips: 6 rows" in waits.output
    assert "SoundBible cannot be read: http://127.0.0.1:9 lists no sounds" in waits.output
    assert "; paused until 20" in waits.output
    assert "Filtering, captioning" not in waits.output
    # Dagster has a sentence for each check of the table that waits, and it is wrong.
    assert "emitted no result" not in caplog.text


@pytest.mark.slow
def test_it_says_what_is_wrong_before_it_starts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "wrong.yaml").write_text("llm_captions: {method: rules}\n")
    wrong = wavcaps_run("--config", str(folder / "wrong.yaml"))
    assert wrong.exit_code == 1
    assert "the form of Dagster's launchpad" in wrong.output
    (folder / "wrong.yaml").write_text(BY_RULES.replace("llm_captions", "llm_caption"))
    wrong = wavcaps_run("--config", str(folder / "wrong.yaml"))
    assert "There is no step 'llm_caption': did you mean 'llm_captions'?" in wrong.output
    monkeypatch.delenv("WAVCAPS_LOCAL_FOLDER__PATH")
    assert "no source takes part" in wavcaps_run().output
    monkeypatch.setenv("WAVCAPS_SOURCES", "embedded")
    assert "export WAVCAPS_SOURCES=live" in wavcaps_run().output


def test_what_is_finished_is_not_crawled_again_and_a_stage_is_the_last() -> None:
    sources = all_sources(Settings())
    lane = chapters(sources, {"freesound": {"2022-09", "2022-10"}}, TINY, Stop.CAPTIONS)
    crawls, captions = lane.values()
    assert [str(job) for job in crawls[:2]] == [
        "crawl_freesound[2022-11]",
        "crawl_bbc_sound_effects[catalogue]",
    ]
    assert len(captions) == len(sources)
    assert len(chapters(sources, {}, Training())) == len(Stop)
