"""Checkpoints scored on benchmarks, and whether they were trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.training.scoring.benchmark_clips import (
    SETTINGS,
    benchmark,
    benchmark_clips,
    checkpoint,
    training_manifest,
)
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import OVERLAPS, schema_of
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.data import AudioFiles, Clip
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.protocols import PROTOCOLS, ProtocolName
from wavcaps_training.evaluation.retrieval import evaluate_retrieval
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment
from wavcaps_training.paper.stored_scores import CurrentLists, read_scores
from wavcaps_training.scoring.score import score_on_benchmark
from wavcaps_training.scoring.shown import numbers_of, of_checkpoint, said_of, trained_rows
from wavcaps_training.scoring.stored import checkpoint_at, stored_origin, training_data
from wavcaps_training.scoring.task import BenchmarkScores
from wavcaps_training.scoring.tasks import known_tasks
from wavcaps_training.scoring.tasks.retrieval import TASK
from wavcaps_training.scoring.trained_on import TrainedOn
from wavcaps_training.tables import (
    BENCHMARK_RETRIEVAL,
    CHECKPOINT,
    GENERATED_SOUNDS,
    GENERATED_SOUNDS_FOLDER,
    LATENTS,
    RETRIEVAL_SCORES,
    SEED_SCORES,
)

SPLITS = ("train", "train", "validation", "test", "test", "test", "test")
BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
ZERO_SHOT = BY_NAME["htsat_bert/zero_shot"]
# The clips of a training set that has nothing of the benchmark.
OTHERS = {"freesound-1": "freesound", "bbc-2": "bbc_sound_effects"}


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path))


def scored(
    tables: TableStore,
    clips: pa.Table,
    trained_on: Mapping[str, str] = OTHERS,
    experiment: Experiment = ZERO_SHOT,
) -> BenchmarkScores:
    """The scores of a checkpoint of an experiment that was trained on clips."""
    manifest = training_manifest(trained_on)
    tables.write(experiment.training_manifest, None, manifest)
    tables.write(experiment.key, None, checkpoint(tables.store, manifest, setting=experiment.setting))
    with checkpoint_at(experiment.key, tables) as subject:
        name = clips["benchmark"][0].as_py()
        return score_on_benchmark(TASK, subject, (name, clips), (tables.store, "cpu"))


@pytest.mark.slow
def test_the_test_split_is_scored_as_the_model_scores_it(tables: TableStore) -> None:
    clips = benchmark(tables.store, SPLITS, silent=[6])
    scores = scored(tables, clips)
    by_hand = [
        Clip(row["clip_id"], tuple(row["captions"]), row["audio_path"], 0.5)
        for row in clips.to_pylist()
        if row["split"] == "test" and row["audio_path"]
    ]
    model, settings = load_checkpoint(
        tables.store.root / "checkpoints/htsat_bert/zero_shot/run/weights.safetensors"
    )
    assert settings == SETTINGS
    paper = PROTOCOLS[ProtocolName.paper]
    rows, _ = evaluate_retrieval(
        model, "trained", by_hand, AudioFiles(tables.store), settings, protocol=paper
    )
    wanted = {(row["direction"], row["metric"]): row["value"] for row in rows}
    found = {(row["direction"], row["metric"]): row["value"] for row in trained_rows(scores.table)}
    assert found == wanted and len(found) == 10

    about = of_checkpoint(scores.table)
    assert (about["clips"], about["missing"], about["unreadable"], about["official_clips"]) == (3, 1, 0, 1045)
    assert scores.partial == "partial: 3 of the 1,045 clips of Clotho that are scored"
    assert about["checkpoint"] == "htsat_bert/zero_shot" and about["trained_on_version"] == "v1-0000000"
    assert about["weights_sha256"] and about["trained_on_sha256"] and about["device"]
    assert about["protocol_name"] == "paper" and about["protocol"] == paper.sentence(settings)
    numbers = numbers_of(TASK, scores.table)
    assert numbers["R@1, text to audio"] == wanted["text_to_audio", "R@1"]
    assert {"R@1, text to audio, 95 % from", "clips scored"} <= set(numbers)
    assert "no: " in said_of(scores.table)["trained on this benchmark's train split"]
    chance = {row["metric"]: row for row in scores.table.to_pylist() if row["model"] == "chance"}
    assert chance["R@1"]["value"] == pytest.approx(100 / 3) and chance["R@1"]["checkpoint"] is None
    key = ZERO_SHOT.name.split("/")
    tables.write(["scores", "retrieval", "clotho", *key], None, scores.table)
    assert tables.read(["scores", "retrieval", "clotho", *key]).equals(scores.table)
    tables.write(["benchmark", "clotho"], None, clips)
    place = (["scores", "retrieval", "clotho", *key], ZERO_SHOT.key)
    stored_now = read_scores(tables, *place, lists=CurrentLists(tables))
    assert stored_now is not None and not stored_now.stale
    tables.write(["benchmark", "clotho"], None, benchmark(tables.store, SPLITS[:-1]))
    stored_now = read_scores(tables, *place, lists=CurrentLists(tables))
    assert stored_now is not None and "The clips or captions of the benchmark clotho" in stored_now.stale


def trained_on(tables: TableStore, clips: pa.Table, experiment: Experiment = ZERO_SHOT) -> TrainedOn:
    origin = stored_origin(experiment.key, tables)
    assert origin is not None
    data = training_data(experiment.name, origin, tables)
    scored = [row["clip_id"] for row in clips.to_pylist() if row["split"] == "test"]
    return data.trained_on("clotho", clips, scored)


def stored(
    tables: TableStore,
    experiment: Experiment,
    trained_on: Mapping[str, str],
    started_from: str | None = None,
) -> None:
    """Writes a training manifest and a checkpoint that was trained on it."""
    manifest = training_manifest(trained_on)
    tables.write(experiment.training_manifest, None, manifest)
    row = checkpoint(tables.store, manifest, experiment.setting, started_from)
    tables.write(experiment.key, None, row)


@pytest.mark.parametrize(
    ("clips", "answer", "leaked"),
    [
        ({}, False, 0),
        ({"clotho-0.wav": "clotho"}, True, 0),
        # By FreeSound's ids: 1001 is of the train split, 1003 of the test split.
        ({"freesound-1001": "freesound"}, True, 0),
        ({"freesound-1003": "freesound"}, False, 1),
        ({"clotho-0.wav": "clotho", "clotho-3.wav": "clotho"}, True, 1),
    ],
)
def test_whether_it_was_trained_on_the_benchmark(
    tables: TableStore, clips: Mapping[str, str], answer: bool, leaked: int
) -> None:
    stored(tables, ZERO_SHOT, {**OTHERS, **clips})
    found = trained_on(tables, benchmark_clips(SPLITS))
    assert (found.benchmark, found.scored_clips) == (answer, leaked), found.why


def test_what_was_found_by_sound_counts(tables: TableStore) -> None:
    stored(tables, ZERO_SHOT, OTHERS)
    pairs = {"clotho-3.wav": "same", "clotho-4.wav": "review"}
    rows = [
        {
            "clip_id": "bbc-2",
            "source": "bbc_sound_effects",
            "benchmark": "clotho",
            "benchmark_clip_id": clip_id,
            "benchmark_split": "test",
            "evidence": "audio",
            "key": clip_id,
            "verdict": verdict,
        }
        for clip_id, verdict in pairs.items()
    ]
    tables.write(["audio_overlaps", "clotho"], None, OVERLAPS.from_rows(rows))
    found = trained_on(tables, benchmark_clips(SPLITS))
    assert (found.benchmark, found.scored_clips) == (False, 1)
    assert "; it was trained on 1 of the clips that are scored" in found.why


def test_what_a_checkpoint_started_from_counts(tables: TableStore) -> None:
    fine_tuned, start = BY_NAME["htsat_bert/fine_tuning_audiocaps"], BY_NAME["htsat_bert/pretraining"]
    clips = benchmark_clips(SPLITS)
    # Older versions did not write down what a training started from. The experiment says it.
    stored(tables, fine_tuned, OTHERS)
    found = trained_on(tables, clips, fine_tuned)
    assert found.benchmark is None and "htsat_bert/pretraining is not in the store" in found.why
    stored(tables, start, {**OTHERS, "clotho-1.wav": "clotho"}, started_from="")
    found = trained_on(tables, clips, fine_tuned)
    assert found.benchmark and "wavcaps_audiocaps_clotho (htsat_bert/pretraining) has 1 clips" in found.why
    # The manifest is another one now than the start was trained on.
    tables.write(start.training_manifest, None, training_manifest({"clotho-1.wav": "clotho"}))
    assert trained_on(tables, clips, fine_tuned).benchmark is None


def test_weights_that_a_training_started_from_are_found_by_their_hash(tables: TableStore) -> None:
    fine_tuned, start = BY_NAME["htsat_bert/fine_tuning_audiocaps"], BY_NAME["htsat_bert/baseline"]
    clips = benchmark_clips(SPLITS)
    stored(tables, start, {**OTHERS, "clotho-1.wav": "clotho"}, started_from="")
    origin = stored_origin(start.key, tables)
    assert origin is not None
    stored(tables, fine_tuned, OTHERS, started_from="0" * 64)
    assert "what it started from is not in the store" in trained_on(tables, clips, fine_tuned).why
    stored(tables, fine_tuned, OTHERS, started_from=origin.weights_sha256)
    found = trained_on(tables, clips, fine_tuned)
    assert found.benchmark and "audiocaps_clotho (htsat_bert/baseline) has 1 clips" in found.why
    stored(tables, fine_tuned, OTHERS, started_from="")
    assert "htsat_bert/baseline" not in trained_on(tables, clips, fine_tuned).why


def test_a_part_of_a_benchmarks_list_does_not_show_that_nothing_is_shared(tables: TableStore) -> None:
    own, clips = BY_NAME["htsat_bert/own_split"], benchmark_clips(SPLITS)
    stored(tables, own, OTHERS)
    found = trained_on(tables, clips, own)
    assert found.benchmark is None and "only 7 of its 5,929 clips" in found.why
    # What is shared is known all the same.
    stored(tables, own, {**OTHERS, "freesound-1001": "freesound"})
    assert trained_on(tables, clips, own).benchmark is True


def test_without_the_list_of_the_train_split(tables: TableStore) -> None:
    clips = benchmark_clips(["test"] * 3)
    # The training set leaves out all of Clotho; the other one does not.
    stored(tables, ZERO_SHOT, OTHERS)
    assert trained_on(tables, clips).benchmark is False
    own = BY_NAME["htsat_bert/own_split"]
    stored(tables, own, OTHERS)
    found = trained_on(tables, clips, own)
    assert found.benchmark is None and "the list of its train split is not there" in found.why


@pytest.mark.parametrize(
    ("clips", "answer"),
    [
        ({"freesound-1": "freesound", "audioset_sl-Yaaaaaaaaaaa.wav": "audioset_sl"}, False),
        # A clip of a folder is known by a name of its own, unless that has the id in it.
        ({"freesound-1": "freesound", "local-rain": "local"}, None),
        ({"local-5__somebody__rain": "local"}, False),
        ({"audiocaps-mine.wav": "audiocaps"}, True),
    ],
)
def test_clips_without_an_id_may_be_the_benchmarks(
    tables: TableStore, clips: Mapping[str, str], answer: bool | None
) -> None:
    own = BY_NAME["htsat_bert/own_split"]
    stored(tables, own, clips)
    origin = stored_origin(own.key, tables)
    assert origin is not None
    listed = benchmark_clips(SPLITS, "audiocaps")
    found = training_data(own.name, origin, tables).trained_on("audiocaps", listed, [])
    assert found.benchmark is answer, found.why
    assert ("has 1 clips without an id of FreeSound or YouTube" in found.why) is (answer is None)
    # A set that left them out when it was made is compared by its sound, too.
    stored(tables, ZERO_SHOT, {"local-rain": "local"})
    origin = stored_origin(ZERO_SHOT.key, tables)
    assert origin is not None
    assert (
        training_data(ZERO_SHOT.name, origin, tables).trained_on("audiocaps", listed, []).benchmark is False
    )


def test_a_change_of_the_lists_is_seen(tables: TableStore) -> None:
    clips = benchmark_clips(SPLITS)
    lists = CurrentLists(tables)
    assert lists.sha256("clotho") is None
    tables.write(["benchmark", "clotho"], None, clips)
    before = CurrentLists(tables).sha256("clotho")
    # Audio that comes, and clips of other splits, change nothing of what there is to score.
    tables.write(["benchmark", "clotho"], None, benchmark_clips(SPLITS, silent=[3]).slice(1))
    assert CurrentLists(tables).sha256("clotho") == before
    captions = clips["captions"].to_pylist()
    captions[3] = ["another caption"]
    place = clips.column_names.index("captions")
    changed = clips.set_column(place, clips.field(place), pa.array(captions, pa.list_(pa.string())))
    tables.write(["benchmark", "clotho"], None, changed)
    assert CurrentLists(tables).sha256("clotho") != before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("splits", "silent", "message"),
    [
        (("train", "train"), (), "none of them is in its test split"),
        (("train", "test"), (1,), "none of the 1 clips of the benchmark 'clotho' has audio here"),
    ],
)
def test_nothing_to_score_is_an_error(
    tables: TableStore, splits: Sequence[str], silent: Sequence[int], message: str
) -> None:
    with pytest.raises(NothingToScore, match=message):
        scored(tables, benchmark(tables.store, splits, silent=silent))


@pytest.mark.slow
def test_captions_without_a_word_are_counted_and_not_scored(tables: TableStore) -> None:
    clips = benchmark(tables.store, SPLITS)
    captions: list[Any] = clips["captions"].to_pylist()
    captions[4], captions[5] = [" ", "a tone"], ["?"]
    place = clips.column_names.index("captions")

    def with_captions(captions: list[Any]) -> pa.Table:
        return clips.set_column(place, clips.field(place), pa.array(captions, pa.list_(pa.string())))

    about = of_checkpoint(scored(tables, with_captions(captions)).table)
    assert (about["clips"], about["unreadable"], about["blank_captions"]) == (3, 0, 2)
    with pytest.raises(NothingToScore, match="no captions to search for"):
        scored(tables, with_captions([[] for _ in captions]))


def test_no_task_has_the_place_of_another_table() -> None:
    for task in known_tasks():
        for benchmark_name in (*task.benchmarks, *task.demo_benchmarks):
            for experiment in EXPERIMENTS:
                key = task.scores_key(benchmark_name, experiment.name)
                assert schema_of(key) is task.schema
    assert schema_of(["scores", "retrieval"]) is RETRIEVAL_SCORES
    assert schema_of(["scores", "seeds"]) is SEED_SCORES
    for experiment in EXPERIMENTS:
        assert schema_of(experiment.key) is CHECKPOINT
        if experiment.parts is None:
            assert schema_of(experiment.scores_key) is RETRIEVAL_SCORES
        else:
            # A setting is called `audio`, as another table is.
            assert schema_of([GENERATED_SOUNDS_FOLDER, *experiment.key[1:]]) is GENERATED_SOUNDS
            assert schema_of(experiment.latents_key or ()) is LATENTS
    assert set(TASK.protocols) == {name.value for name in ProtocolName}
    assert BENCHMARK_RETRIEVAL.key == ("model", "direction", "metric")
