"""Checkpoints scored on benchmarks, and whether they were trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.training.scoring.benchmark_clips import SETTINGS, benchmark, checkpoint, training_manifest
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import schema_of
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.data import AudioFiles, Clip
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.protocols import PROTOCOLS, ProtocolName
from wavcaps_training.evaluation.retrieval import evaluate_retrieval
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment
from wavcaps_training.scoring.of_experiment import checkpoint_of
from wavcaps_training.scoring.score import score_on_benchmark
from wavcaps_training.scoring.shown import numbers_of, of_checkpoint, said_of, trained_rows
from wavcaps_training.scoring.task import BenchmarkScores
from wavcaps_training.scoring.tasks import known_tasks
from wavcaps_training.scoring.tasks.retrieval import TASK
from wavcaps_training.tables import BENCHMARK_RETRIEVAL, RETRIEVAL_SCORES, SEED_SCORES

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
    with checkpoint_of(experiment, tables) as subject:
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
    model, settings = load_checkpoint(tables.store.root / "checkpoints/model.safetensors")
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


@pytest.mark.parametrize(
    ("trained_on", "answer", "leaked"),
    [
        (OTHERS, False, 0),
        ({**OTHERS, "clotho-0.wav": "clotho"}, True, 0),
        # By FreeSound's ids: 1001 is of the train split, 1003 of the test split.
        ({**OTHERS, "freesound-1001": "freesound"}, True, 0),
        ({**OTHERS, "freesound-1003": "freesound"}, False, 1),
        ({**OTHERS, "clotho-0.wav": "clotho", "clotho-3.wav": "clotho"}, True, 1),
    ],
)
@pytest.mark.slow
def test_whether_it_was_trained_on_the_benchmark(
    tables: TableStore, trained_on: Mapping[str, str], answer: bool, leaked: int
) -> None:
    about = of_checkpoint(scored(tables, benchmark(tables.store, SPLITS), trained_on).table)
    assert (about["trained_on_benchmark"], about["scored_clips_trained_on"]) == (answer, leaked)


@pytest.mark.slow
def test_what_a_checkpoint_started_from_counts(tables: TableStore) -> None:
    fine_tuned, start = BY_NAME["htsat_bert/fine_tuning_audiocaps"], BY_NAME["htsat_bert/pretraining"]
    clips = benchmark(tables.store, SPLITS)

    def answer() -> tuple[bool | None, str]:
        about = of_checkpoint(scored(tables, clips, OTHERS, fine_tuned).table)
        return about["trained_on_benchmark"], about["trained_on_benchmark_why"]

    known, why = answer()
    assert known is None and "htsat_bert/pretraining is not in the store" in why
    manifest = training_manifest({**OTHERS, "clotho-1.wav": "clotho"})
    tables.write(start.training_manifest, None, manifest)
    tables.write(start.key, None, checkpoint(tables.store, manifest, setting=start.setting))
    known, why = answer()
    assert known is True and "wavcaps_audiocaps_clotho (htsat_bert/pretraining) has 1 clips" in why
    # The manifest is another one than the start was trained on.
    tables.write(start.training_manifest, None, training_manifest({"clotho-1.wav": "clotho"}))
    assert answer()[0] is None


@pytest.mark.slow
def test_without_the_list_of_the_train_split(tables: TableStore) -> None:
    clips = benchmark(tables.store, ["test"] * 3)
    # The training set leaves out all of Clotho; the other one does not.
    assert of_checkpoint(scored(tables, clips).table)["trained_on_benchmark"] is False
    own = of_checkpoint(scored(tables, clips, OTHERS, BY_NAME["htsat_bert/own_split"]).table)
    assert (
        own["trained_on_benchmark"] is None and "list of its train split" in own["trained_on_benchmark_why"]
    )


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


def test_captions_without_a_word_are_counted_and_not_scored(tables: TableStore) -> None:
    clips = benchmark(tables.store, SPLITS)
    captions: list[Any] = clips["captions"].to_pylist()
    captions[4], captions[5] = [" ", "a tone"], ["?"]
    place = clips.column_names.index("captions")

    def with_captions(captions: list[Any]) -> pa.Table:
        return clips.set_column(place, clips.field(place), pa.array(captions))

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
    assert all(schema_of(experiment.scores_key) is RETRIEVAL_SCORES for experiment in EXPERIMENTS)
    assert set(TASK.protocols) == {name.value for name in ProtocolName}
    assert BENCHMARK_RETRIEVAL.key == ("model", "direction", "metric")
