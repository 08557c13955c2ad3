"""The whole graph on a tiny corpus: real servers, a real language model, a real instance, real training."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pyarrow.compute as pc
import pytest
import soundfile

from tests.support.paths import ROOT
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.language_model import running_model
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.lane.outcome import result_lines
from wavcaps_assets.lane.runs import Job, RunFailed, run_job
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = pytest.mark.slow

ASSETS, TRAINING = "wavcaps_assets", "wavcaps_training"


@dataclass(frozen=True)
class Made:
    """What the runs made."""

    corpus: Corpus
    settings: Settings
    tables: TableStore
    instance: dg.DagsterInstance


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    corpus = synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=18, scenes=40)
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with pytest.MonkeyPatch.context() as environment, running_server(corpus) as url:
        model_port = free_port()
        environment.setenv("DAGSTER_HOME", str(home))
        environment.setenv("WAVCAPS_STORE", str(home / "store"))
        environment.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        environment.setenv("WAVCAPS_EMBEDDED_MODEL_PORT", str(model_port))
        settings = Settings()
        sources = all_sources(settings)
        crawls = [
            Job(ASSETS, f"crawl_{source.name}", partition)
            for source in sources
            for partition in source.partitions()
        ]
        with dg.DagsterInstance.get() as instance, running_model(model_port):
            for job in [*crawls, *(Job(ASSETS, "caption_source", source.name) for source in sources)]:
                run_job(instance, job, ROOT)
            # Of nine groups of clips, the usual shares may leave a side empty.
            shares = {"training_manifest": {"validation_share": 0.3, "test_share": 0.3}}
            run_job(instance, Job(ASSETS, "publish", config=shares), ROOT)
            few = {"checkpoint__aisfx_minilm__demo": {"epochs": 2}}
            execution = {"on_missing_cuda": "cpu"}
            run_job(instance, Job(TRAINING, "train_and_score", config=few, execution=execution), ROOT)
            run_job(instance, Job(TRAINING, "write_report"), ROOT)
            yield Made(corpus, settings, TableStore(Store(settings.store)), instance)


def test_every_clip_is_published_or_set_aside_with_a_reason(made: Made) -> None:
    published = set(made.tables.read(["wavcaps"]).column("clip_id").to_pylist())
    aside = {
        row["clip_id"]: row["reason"]
        for stage in ("filtered_clips", "llm_captions", "captions", "manifest")
        for row in made.tables.read_dropped([stage]).to_pylist()
    }
    assert published | aside.keys() == {clip.clip_id for clip in made.corpus.clips}
    assert not published & aside.keys()


def test_bad_input_is_set_aside_for_what_it_is(made: Made) -> None:
    bad = {clip.clip_id: clip for clip in made.corpus.clips if clip.made_for_demo}
    reasons = {
        row["clip_id"]: row["reason"]
        for stage in ("filtered_clips", "llm_captions")
        for row in made.tables.read_dropped([stage]).to_pylist()
        if row["clip_id"] in bad
    }
    assert sorted(reasons.values()) == ["audio_gone", "empty_text", "foreign_text"]


def test_the_manifest_leads_to_audio_that_is_what_it_says(made: Made) -> None:
    for row in made.tables.read(["wavcaps"]).to_pylist():
        info = soundfile.info(made.tables.store.path(row["audio_path"]))
        assert (info.format, info.samplerate, info.channels) == ("FLAC", 32_000, 1)
        assert info.frames / info.samplerate == row["duration_s"] >= 1.0


def test_scores_stand_beside_chance(made: Made) -> None:
    scores = made.tables.read(["scores", "retrieval"])
    clips = scores.column("clips")[0].as_py()
    split = made.tables.read(["training_manifest"])
    assert clips == split.filter(pc.equal(split.column("split"), "test")).num_rows
    chance = {row["metric"]: row["value"] for row in scores.to_pylist() if row["model"] == "chance"}
    assert chance["R@1"] == pytest.approx(100 / clips)
    assert set(scores.column("model").to_pylist()) == {"chance", "untrained", "trained"}
    # What the demo prints at its end.
    at_10 = {
        row["model"]: row
        for row in scores.to_pylist()
        if (row["metric"], row["direction"]) == ("R@10", "text_to_audio")
    }
    size, to_audio, to_text = result_lines(made.tables).splitlines()
    assert size.strip().startswith(f"{made.tables.read(['wavcaps']).num_rows} clips with a caption, from ")
    (mean,) = (
        row
        for row in made.tables.read(["scores", "seeds"]).to_pylist()
        if (row["seed"], row["metric"], row["direction"]) == (None, "R@10", "text_to_audio")
    )
    value = f"{mean['value']:.1f} ± {mean['deviation']:.1f} %, the mean of 3 seeds"
    # The test clips of this small corpus may be of a single recording, over which there is no interval.
    low, high = mean["low"], mean["high"]
    interval = "" if low is None else f" (95 % interval {low:.1f} to {high:.1f})"
    assert f"text to audio: {value}{interval}, on {clips} test clips" in to_audio
    assert f"by chance {at_10['chance']['value']:.1f} %" in to_audio
    assert "audio to text" in to_text


def test_the_report_is_written_and_fetches_nothing(made: Made) -> None:
    page = (made.settings.store_folder / "report.html").read_text()
    assert f"{made.tables.read(['wavcaps']).num_rows}" in page
    assert "<script" not in page


def test_all_is_green_in_the_instance(made: Made) -> None:
    records = made.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [
            dg.AssetCheckKey(dg.AssetKey("captions"), "caption_rules"),
            dg.AssetCheckKey(dg.AssetKey("training_manifest"), "recordings_apart"),
        ]
    )
    assert len(records) == 2
    assert all(record.status.value == "SUCCEEDED" for record in records.values())
    materialized = made.instance.get_materialized_partitions(dg.AssetKey("manifest"))
    assert materialized == {source.name for source in all_sources(made.settings)}


def test_the_catalogue_shows_columns_and_where_they_come_from(made: Made) -> None:
    event = made.instance.get_latest_materialization_event(dg.AssetKey("manifest"))
    assert event is not None and event.asset_materialization is not None
    lineage = event.asset_materialization.metadata["dagster/column_lineage"].value
    assert isinstance(lineage, dg.TableColumnLineage)
    origins = {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column["caption"]}
    assert ("captions", "caption") in origins


def test_a_run_without_the_sources_says_what_to_do(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", f"http://127.0.0.1:{free_port()}/v1")
    nowhere = Job(ASSETS, "caption_source", "soundbible")
    with pytest.raises(RunFailed, match="WAVCAPS_LLM__BASE_URL"):
        # By another path to the same folder, so that Dagster loads the definitions again.
        run_job(made.instance, nowhere, ROOT / "tests" / "..")


def test_nothing_is_asked_or_fetched_twice(made: Made) -> None:
    answers = sorted((made.settings.store_folder / "log" / "answers").glob("*.jsonl"))
    before = [path.read_text() for path in answers]
    run_job(made.instance, Job(ASSETS, "caption_source", "bbc_sound_effects"), ROOT)
    after = sorted((made.settings.store_folder / "log" / "answers").glob("*.jsonl"))
    assert [path.read_text() for path in after] == before
