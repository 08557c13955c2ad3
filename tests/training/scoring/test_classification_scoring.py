"""A checkpoint scored on a benchmark of classes, as its asset does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.training.scoring.benchmark_clips import benchmark, checkpoint, training_manifest
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import schema_of
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.paper.experiments import EXPERIMENTS
from wavcaps_training.scoring.score import score_on_benchmark
from wavcaps_training.scoring.shown import numbers_of, of_checkpoint, said_of
from wavcaps_training.scoring.stored import checkpoint_at
from wavcaps_training.scoring.task import BenchmarkScores
from wavcaps_training.scoring.tasks.classification import TASK
from wavcaps_training.tables import CLASSIFICATION_SCORES

LABELS = ("air_conditioner", "siren", "dog_bark", "siren", "dog_bark", "siren")
BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
PAPERS = BY_NAME["htsat_bert/pretraining_classification"]
TABLE_V = BY_NAME["htsat_bert/pretraining"]


def urbansound(store: Store, labels: Sequence[str] = LABELS, silent: Sequence[int] = ()) -> pa.Table:
    """Clips of tones in two folds, each pair of them of one recording."""
    clips = benchmark(store, ["none"] * len(labels), "urbansound8k", silent)
    numbers = range(len(labels))
    for name, values in (
        ("label", pa.array(labels)),
        ("fold", pa.array([1 + number // 4 for number in numbers], pa.int32())),
        ("freesound_id", pa.array([str(1000 + number // 2) for number in numbers])),
        ("captions", pa.array([[]] * len(labels), clips["captions"].type)),
        ("version", pa.array(["1"] * len(labels))),
    ):
        clips = clips.set_column(clips.column_names.index(name), clips.schema.field(name), values)
    return clips


def scored(
    store: Store,
    clips: pa.Table,
    protocol: str = "",
    trained_on: Mapping[str, str] | None = None,
    of_table_v: bool = False,
) -> BenchmarkScores:
    tables, experiment = TableStore(store), TABLE_V if of_table_v else PAPERS
    manifest = training_manifest(trained_on or {"bbc-1": "bbc_sound_effects"})
    tables.write(experiment.training_manifest, None, manifest)
    tables.write(experiment.key, None, checkpoint(store, manifest, experiment.setting))
    with checkpoint_at(experiment.key, tables) as subject:
        return score_on_benchmark(TASK, subject, ("urbansound8k", clips), (store, "cpu"), protocol)


@pytest.mark.slow
def test_all_protocols_folds_and_classes_are_in_one_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    scores = scored(store, urbansound(store, silent=[5]))
    rows = scores.table.to_pylist()
    trained = [row for row in rows if row["model"] == "trained"]
    chance = {(row["protocol_name"], row["metric"]): row["value"] for row in rows if row["model"] == "chance"}
    assert len(chance) == 6
    assert set(chance.values()) == {100 / 3}
    assert chance["paper", "accuracy"] == chance["released", "mean of folds"]
    assert {row["protocol_name"] for row in trained} == {"paper", "released", "prompt"}
    for name, prompt in (("paper", "{}"), ("released", "{}"), ("prompt", "{} can be heard")):
        of_one = [row for row in trained if row["protocol_name"] == name]
        assert [(row["scope"], row["group"], row["metric"], row["clips"]) for row in of_one] == [
            ("overall", "", "accuracy", 5),
            ("overall", "", "mean of folds", 5),
            ("fold", "1", "accuracy", 4),
            ("fold", "2", "accuracy", 1),
            ("class", "air_conditioner", "accuracy", 1),
            ("class", "dog_bark", "accuracy", 2),
            ("class", "siren", "accuracy", 2),
        ]
        assert {row["prompt"] for row in of_one} == {prompt}
        answers = {row["group"]: row["answers"] for row in of_one if row["scope"] == "class"}
        right = sum(
            answer["clips"]
            for label, given in answers.items()
            for answer in given
            if answer["class"] == label
        )
        assert sum(answer["clips"] for given in answers.values() for answer in given) == 5
        assert of_one[0]["value"] == pytest.approx(100 * right / 5)
    about = of_checkpoint(scores.table)
    assert (about["recordings"], about["missing"], about["unreadable"]) == (3, 1, 0)
    assert (about["classes"], about["official_classes"], about["official_clips"]) == (3, 10, 8732)
    assert scores.partial == "partial: 5 of the 8,732 clips of UrbanSound8K that are scored"
    assert set(numbers_of(TASK, scores.table)) >= {"accuracy, paper (%)", "mean of folds, released (%)"}
    assert list(scores.figures) == ["confusion matrix, paper", "confused most, paper", "classes"]
    assert "the lists of urbansound8k have 3 of 10 classes" in caplog.text
    assert "3 of 10 official classes could be answered: with fewer classes" in scores.figures["classes"]
    key = ["scores", "classification", "urbansound8k", "htsat_bert", "pretraining_classification"]
    assert schema_of(key) is CLASSIFICATION_SCORES
    TableStore(store).write(key, None, scores.table)


@pytest.mark.slow
def test_classes_whose_audio_is_missing_are_still_answers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    scores = scored(store, urbansound(store, silent=[0, 2, 4]), "prompt")
    about = of_checkpoint(scores.table)
    assert (about["classes"], about["clips"], about["protocol_name"]) == (3, 3, "prompt")
    assert "1 of them have clips here" in scores.figures["classes"]


@pytest.mark.slow
def test_a_checkpoint_that_was_not_decontaminated_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    clips = urbansound(store)
    said = "trained on this benchmark's train split"
    clean = scored(store, clips, "paper")
    assert said_of(clean.table)[said].startswith("no: training_manifest/wavcaps_classification")
    assert "not decontaminated" not in said_of(clean.table)[said]
    assert of_checkpoint(clean.table)["scored_clips_trained_on"] == 0
    leaking = scored(store, clips, "paper", trained_on={"freesound-1000": "freesound"}, of_table_v=True)
    assert of_checkpoint(leaking.table)["scored_clips_trained_on"] == 2
    assert set(
        leaking.table.filter(pc.equal(leaking.table["model"], "trained"))["trained_on_benchmark"].to_pylist()
    ) == {True}
    answer = said_of(leaking.table)[said]
    assert "on 2 of the clips that are scored; it was not decontaminated against urbansound8k" in answer
    # No clip of it is known to be in the training set, but nobody looked by its texts and its sound.
    unlooked = scored(store, clips, "paper", of_table_v=True)
    assert "it was not decontaminated against urbansound8k" in said_of(unlooked.table)[said]


def test_a_benchmark_without_labels_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    clips = urbansound(store)
    place = clips.column_names.index("label")
    without = clips.set_column(place, clips.schema.field("label"), pa.nulls(len(clips), pa.string()))
    with pytest.raises(ValueError, match="no clip of the benchmark 'urbansound8k' has a class"):
        scored(store, without)
    with pytest.raises(NothingToScore, match="its protocols are all, paper, released, prompt"):
        scored(store, clips, "best")
