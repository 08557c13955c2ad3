"""Training on the features of a pretrained audio encoder, and its scores over several seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from tests.training.small_models import small_bert
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.data import AudioFiles, clips_of
from wavcaps_training.evaluation.clip_features import embed_set, known_features, of_published_audio
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.retrieval import embed
from wavcaps_training.evaluation.scores import score_checkpoint
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.settings.model import Pooling, TextEncoderSettings
from wavcaps_training.settings.training import PRETRAINED_DEMO, TrainingSettings
from wavcaps_training.tables import AUDIO_EMBEDDINGS
from wavcaps_training.training.checkpoint_table import Place, train_experiment
from wavcaps_training.training.seeds import score_seeds
from wavcaps_training.training.train import RunOptions, train

pytestmark = pytest.mark.slow

RATE, CLIPS = 32_000, 12
SMALL = PRETRAINED_DEMO.model_copy(
    update={
        "model": PRETRAINED_DEMO.model.model_copy(
            update={
                "text": TextEncoderSettings(folder=str(small_bert()), pooling=Pooling.MEAN, frozen=True),
                "joint_dim": 16,
            }
        ),
        "epochs": 3,
        "batch_size": 4,
    }
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("store")
    for number in range(CLIPS):
        t = np.arange(round(RATE * (0.5 + 0.1 * number))) / RATE
        soundfile.write(root / f"{number}.flac", 0.5 * np.sin(2 * np.pi * 200 * (number + 1) * t), RATE)
    return Store(root)


@pytest.fixture(scope="module")
def manifest() -> pa.Table:
    splits = ["train"] * 8 + ["validation"] * 2 + ["test"] * 2
    return TRAINING_MANIFEST.from_rows(
        [
            {
                "clip_id": f"freesound-{number}",
                "source": "freesound",
                "caption": f"tone {number}",
                "other_captions": [],
                "audio_path": f"{number}.flac",
                "duration_s": 0.5 + 0.1 * number,
                "recording": str(number),
                "split": split,
            }
            for number, split in enumerate(splits)
        ]
    )


def as_set(manifest: pa.Table, changed: int | None = None) -> pa.Table:
    """The columns of the published set that are read; the audio of one clip is another one."""
    hashes = [f"{number} again" if number == changed else str(number) for number in range(manifest.num_rows)]
    columns = manifest.select(["clip_id", "audio_path", "duration_s"])
    return columns.append_column("samples_sha256", pa.array(hashes))


class Counter:
    """A `Progress` that keeps how many clips were computed."""

    computed = 0

    def update(self, done: int, total: int, note: str = "") -> None:
        self.computed = done

    def record(self, facts: object) -> None:
        pass


def embedded(
    store: Store, manifest: pa.Table, known: pa.Table, settings: TrainingSettings
) -> tuple[pa.Table, int]:
    counter = Counter()
    table = embed_set(manifest, known, settings, AudioFiles(store), progress=counter)
    return table, counter.computed


@pytest.fixture(scope="module")
def embeddings(store: Store, manifest: pa.Table) -> pa.Table:
    table, computed = embedded(store, as_set(manifest), AUDIO_EMBEDDINGS.empty(), SMALL)
    assert computed == table.num_rows == CLIPS
    return table


def test_only_clips_with_other_audio_are_computed_again(
    store: Store, manifest: pa.Table, embeddings: pa.Table
) -> None:
    assert embedded(store, as_set(manifest), embeddings, SMALL) == (embeddings, 0)
    again, computed = embedded(store, as_set(manifest, changed=3), embeddings, SMALL)
    assert computed == 1
    assert again["samples_sha256"][3].as_py() == "3 again"
    fewer, computed = embedded(store, as_set(manifest).slice(2), embeddings, SMALL)
    assert (fewer, computed) == (embeddings.slice(2), 0)


def test_a_clip_without_audio_stops_no_later_set(
    store: Store, manifest: pa.Table, embeddings: pa.Table
) -> None:
    paths = ["gone.flac", *manifest["audio_path"].to_pylist()[1:]]
    broken = as_set(manifest, changed=0).set_column(1, "audio_path", pa.array(paths))
    # It is left out, and so are the features of the audio that it had; it is tried again each time.
    for known in (embeddings, embeddings.slice(1)):
        assert embedded(store, broken, known, SMALL) == (embeddings.slice(1), 0)


def test_features_of_audio_that_was_replaced_are_not_used(manifest: pa.Table, embeddings: pa.Table) -> None:
    # In another order, and without one clip.
    published = as_set(manifest, changed=3).take(list(range(CLIPS - 1, 0, -1)))
    current = of_published_audio(embeddings, published)
    expected = [number for number in range(1, CLIPS) if number != 3]
    assert current == embeddings.take(expected)
    assert of_published_audio(embeddings, published.slice(0, 0)).num_rows == 0


def test_the_features_of_another_encoder_are_not_used(
    store: Store, manifest: pa.Table, embeddings: pa.Table
) -> None:
    audio = SMALL.model.audio.model_copy(update={"pooling": "mean"})
    other = SMALL.model_copy(update={"model": SMALL.model.model_copy(update={"audio": audio})})
    assert known_features(embeddings, other) == {}
    assert embedded(store, as_set(manifest), embeddings, other)[1] == CLIPS


def test_known_features_give_the_weights_that_computed_ones_give(
    store: Store, manifest: pa.Table, embeddings: pa.Table, tmp_path: Path
) -> None:
    files = AudioFiles(store)
    options = RunOptions(features=known_features(embeddings, SMALL))
    known = train(manifest, files, SMALL, tmp_path / "known", options)
    computed = train(manifest, files, SMALL, tmp_path / "computed")
    one, other = load_file(known.weights), load_file(computed.weights)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=1e-4, rtol=1e-3)
    # Standardised as the train clips are.
    train_ids = [clip.clip_id for clip in clips_of(manifest, "train")]
    mean = torch.stack([options.features[clip_id] for clip_id in train_ids]).mean(dim=0)
    torch.testing.assert_close(one["audio_scale.mean"], mean, atol=1e-4, rtol=1e-4)
    # A model of the checkpoint gives clips the same vectors from their audio, in batches with longer ones.
    model, settings = load_checkpoint(known.weights)
    sounds, _, _ = embed(model, clips_of(manifest, "test"), files, settings)
    features = torch.stack([options.features[clip.clip_id] for clip in clips_of(manifest, "test")])
    with torch.no_grad():
        expected = model.embed_audio(features.unsqueeze(1))
    np.testing.assert_allclose(sounds, expected, atol=1e-4)


def test_a_clip_that_cannot_be_read_is_left_out(manifest: pa.Table, store: Store, tmp_path: Path) -> None:
    paths = manifest["audio_path"].to_pylist()
    paths[0] = "gone.flac"
    place = manifest.schema.get_field_index("audio_path")
    broken = manifest.set_column(place, manifest.schema.field(place), pa.array(paths))
    result = train(broken, AudioFiles(store), SMALL, tmp_path)
    assert result.unreadable_clips == ["freesound-0"]


def test_scores_over_several_seeds(manifest: pa.Table, store: Store, embeddings: pa.Table) -> None:
    place = Place(str(store.root), Path(str(store.root)) / "work")
    checkpoint = train_experiment(DEMO_EXPERIMENT, SMALL, manifest, place, embeddings=embeddings)
    of_one = score_checkpoint(manifest, checkpoint, store, "cpu", embeddings)
    scores = score_seeds(manifest, checkpoint, embeddings, store, [21, 22])
    rows = scores.to_pylist()
    assert {row["seed"] for row in rows} == {20, 21, 22, None}
    assert set(scores["seeds"].to_pylist()) == {3} and set(scores["clips"].to_pylist()) == {2}
    # Both tables say what they are of, by which a report sees whether one of them is older.
    (trained, *_) = (row for row in of_one.to_pylist() if row["model"] == "trained")
    for name in ("checkpoint", "weights_sha256", "scored_on_sha256"):
        assert trained[name] and set(scores[name].to_pylist()) == {trained[name]}
    own = {(r["direction"], r["metric"]): r["value"] for r in of_one.to_pylist() if r["model"] == "trained"}
    assert {(r["direction"], r["metric"]): r["value"] for r in rows if r["seed"] == 20} == own
    for mean in scores.filter(pc.is_null(scores["seed"])).to_pylist():
        key = (mean["direction"], mean["metric"])
        each = [row["value"] for row in rows if row["seed"] and (row["direction"], row["metric"]) == key]
        assert mean["value"] == pytest.approx(np.mean(each))
        assert mean["deviation"] == pytest.approx(np.std(each, ddof=1))
    with pytest.raises(NothingToScore, match="has changed"):
        score_seeds(manifest.slice(1), checkpoint, embeddings, store, [21])
