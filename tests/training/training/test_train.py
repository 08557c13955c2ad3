"""Training on a few synthesised sounds: it learns, repeats itself, and says what went wrong."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from torch._dynamo.utils import counters

from tests.training.small_models import SMALL_HTSAT, small_bert
from wavcaps_assets.store.storage import StoreError
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_training.checkpoints.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from wavcaps_training.data import AudioFolder, AudioReadError, clips_of
from wavcaps_training.evaluation.retrieval import evaluate_retrieval
from wavcaps_training.paper.experiments import EXPERIMENTS
from wavcaps_training.settings.encoder import SpecAugmentSettings
from wavcaps_training.settings.model import ModelSettings, Pooling, TextEncoderSettings
from wavcaps_training.settings.training import DEMO, ClipSettings, Objective, Precision, TrainingSettings
from wavcaps_training.tables import LEARNING_CURVE, RETRIEVAL_SCORES
from wavcaps_training.tasks.base import TrainingError
from wavcaps_training.tasks.retrieval import RetrievalTask
from wavcaps_training.training.result import RESULT, TrainingResult
from wavcaps_training.training.run import STEPS_BETWEEN_CHECKS, steps_to_devices
from wavcaps_training.training.train import RunOptions, train

pytestmark = pytest.mark.slow

RATE = 32_000
KINDS = {
    "A low tone hums.": lambda t, _: np.sin(2 * np.pi * 150 * t),
    "A high whistle sounds.": lambda t, _: np.sin(2 * np.pi * 5_000 * t),
    "Wind hisses.": lambda t, noise: noise,
    "A machine beeps again and again.": lambda t, _: np.sin(2 * np.pi * 1_200 * t) * (t % 0.25 < 0.08),
}
EPOCHS = 12
TINY = DEMO.model_copy(
    update={
        "model": DEMO.model.model_copy(
            update={
                "audio": SMALL_HTSAT.model_copy(update={"spec_augment": SpecAugmentSettings(time_width=16)}),
                "text": TextEncoderSettings(folder=str(small_bert()), pooling=Pooling.MEAN, frozen=True),
                "joint_dim": 32,
            }
        ),
        "clip": ClipSettings(seconds=2.0),
        "epochs": EPOCHS,
        "batch_size": 8,
        "learning_rate": 3e-3,
    }
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, AudioFolder]:
    root = tmp_path_factory.mktemp("audio")
    generator = np.random.default_rng(0)
    rows = []
    for number in range(40):
        caption = list(KINDS)[number % len(KINDS)]
        t = np.arange(round(RATE * generator.uniform(0.6, 2))) / RATE
        samples = KINDS[caption](t, generator.normal(size=len(t)) / 4) * generator.uniform(0.2, 0.8)
        soundfile.write(root / f"{number}.flac", np.clip(samples, -1, 1), RATE, subtype="PCM_16")
        rows.append(
            {
                "clip_id": f"freesound-{number}",
                "source": "freesound",
                "caption": caption,
                "other_captions": [],
                "audio_path": f"{number}.flac",
                "duration_s": len(t) / RATE,
                "recording": str(number),
                "split": "train" if number < 32 else "validation" if number < 36 else "test",
            }
        )
    return TRAINING_MANIFEST.from_rows(rows), AudioFolder(root)


@pytest.fixture(scope="module")
def result(
    manifest: tuple[pa.Table, AudioFolder], tmp_path_factory: pytest.TempPathFactory
) -> TrainingResult:
    return train(*manifest, TINY, tmp_path_factory.mktemp("run"))


def test_the_loss_falls(result: TrainingResult) -> None:
    curve = result.learning_curve
    assert [entry["epoch"] for entry in curve] == list(range(1, EPOCHS + 1))
    assert curve[-1]["train_loss"] < 0.8 * curve[0]["train_loss"]
    pa.array([curve], type=LEARNING_CURVE)


def test_four_unlike_sounds_are_told_apart(
    manifest: tuple[pa.Table, AudioFolder], result: TrainingResult
) -> None:
    """The test split holds one clip of each kind, none of which was trained on."""
    table, root = manifest
    test_clips = clips_of(table, "test")
    scores = {}
    for name, path in (("trained", result.weights), ("untrained", result.untrained_weights)):
        model, settings = load_checkpoint(path)
        rows, _ = evaluate_retrieval(model, name, test_clips, root, settings)
        assert RETRIEVAL_SCORES.from_rows(rows).num_rows == 10
        scores[name] = sum(row["value"] for row in rows if row["metric"] == "R@1")
    assert scores["trained"] > scores["untrained"]


def test_the_result_counts_what_was_trained(result: TrainingResult) -> None:
    model, settings = load_checkpoint(result.weights)
    assert settings == TINY
    frozen = sum(parameter.numel() for parameter in model.text_encoder.parameters())
    assert result.parameters == sum(parameter.numel() for parameter in model.parameters())
    # The fixed temperature is a parameter as well.
    assert result.trainable_parameters == result.parameters - frozen - 1
    assert (result.train_clips, result.validation_clips, result.device) == (32, 4, "cpu")
    assert 1 <= result.best_epoch <= EPOCHS


def without_sound(table: pa.Table, audio: AudioFolder, *numbers: int) -> pa.Table:
    """The manifest, with clips that are silent."""
    soundfile.write(audio.store.root / "silent.flac", np.zeros(RATE, dtype=np.int16), RATE)
    rows = table.to_pylist()
    for number in numbers:
        rows[number]["audio_path"] = "silent.flac"
    return TRAINING_MANIFEST.from_rows(rows)


def test_a_few_silent_clips_are_left_out_and_counted_in_training_and_scores(
    manifest: tuple[pa.Table, AudioFolder], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table, audio = manifest
    # One in each split.
    silent = without_sound(table, audio, 5, 33, 37)
    settings = TINY.model_copy(update={"epochs": 2})
    result = train(silent, audio, settings, tmp_path)
    assert result.unreadable_clips == ["freesound-33", "freesound-5"]
    assert (result.train_clips, result.validation_clips) == (31, 3)
    model, _ = load_checkpoint(result.weights)
    rows, _ = evaluate_retrieval(model, "trained", clips_of(silent, "test"), audio, settings)
    assert {(row["clips"], row["unreadable"]) for row in rows} == {(3, 1)}
    # Each is said once, and not in each epoch.
    for split, number, clips in (("train", 5, 32), ("validation", 33, 4), ("test", 37, 4)):
        start = f"1 of the {clips} clips of the {split} split are left out"
        (said,) = [line for line in caplog.messages if line.startswith(start)]
        assert f"clip freesound-{number}: " in said and "is silent" in said
    with pytest.raises(AudioReadError, match="2 of the 32 clips of the train split cannot be read"):
        train(without_sound(table, audio, 5, 6), audio, settings, tmp_path / "two")


def test_the_untrained_weights_differ_in_what_was_trained_only(result: TrainingResult) -> None:
    trained, untrained = load_file(result.weights), load_file(result.untrained_weights)
    changed = {name for name in trained if not torch.equal(trained[name], untrained[name])}
    assert {
        "audio_proj.0.weight",
        "text_proj.0.weight",
        "audio_encoder.audio_enc.bn0.running_mean",
    } <= changed
    assert not any(name.startswith("text_encoder.") or name == "temp" for name in changed)


def test_the_same_seed_gives_the_same_weights(
    manifest: tuple[pa.Table, AudioFolder], result: TrainingResult, tmp_path: Path
) -> None:
    again = train(*manifest, TINY, tmp_path)
    first, second = load_file(result.weights), load_file(again.weights)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_nothing_else_is_left_behind(result: TrainingResult) -> None:
    assert {path.name for path in result.weights.parent.iterdir()} == {
        result.weights.name,
        result.untrained_weights.name,
        result.tensorboard.name,
        RESULT,
    }


def test_a_run_that_is_done_is_not_run_again_and_another_takes_its_place(
    manifest: tuple[pa.Table, AudioFolder], tmp_path: Path
) -> None:
    settings = TINY.model_copy(update={"epochs": 1})
    first = train(*manifest, settings, tmp_path)
    written = first.weights.stat().st_mtime_ns
    assert train(*manifest, settings, tmp_path) == first
    assert first.weights.stat().st_mtime_ns == written
    other = train(*manifest, settings.model_copy(update={"seed": 3}), tmp_path)
    assert other.learning_curve != first.learning_curve


def test_the_released_objective_learns_its_temperature(
    manifest: tuple[pa.Table, AudioFolder], tmp_path: Path
) -> None:
    settings = TINY.model_copy(update={"objective": Objective.RELEASED, "epochs": 1, "cache_log_mel": False})
    trained = load_file(train(*manifest, settings, tmp_path).weights)
    assert trained["temp"] != pytest.approx(0.07, abs=1e-6)


def test_a_broken_loss_names_the_clips(manifest: tuple[pa.Table, AudioFolder], tmp_path: Path) -> None:
    table, root = manifest
    settings = TINY.model_copy(update={"learning_rate": 1e30, "warmup_epochs": 0.0})
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1, with the clips .*freesound-\d"):
        train(table, root, settings, tmp_path)


def test_losses_that_are_read_later_change_nothing(
    manifest: tuple[pa.Table, AudioFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where reading a loss waits for it: 3 divides no epoch of this run."""
    settings = TINY.model_copy(update={"epochs": 2})
    expected = train(*manifest, settings, tmp_path / "at_once")
    monkeypatch.setitem(STEPS_BETWEEN_CHECKS, "cpu", 3)
    later = train(*manifest, settings, tmp_path / "later")
    for one, other in zip(expected.learning_curve, later.learning_curve, strict=True):
        assert {**one, "seconds": 0, "clips_per_second": 0} == {**other, "seconds": 0, "clips_per_second": 0}
    weights = load_file(later.weights)
    assert all(torch.equal(weights[name], value) for name, value in load_file(expected.weights).items())
    broken = TINY.model_copy(update={"learning_rate": 1e30, "warmup_epochs": 0.0})
    with pytest.raises(
        TrainingError, match=r"the (loss|gradient) became (nan|inf) .*: check their audio, lower"
    ):
        train(*manifest, broken, tmp_path / "broken")


def test_a_gradient_that_breaks_is_not_taken(
    manifest: tuple[pa.Table, AudioFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss may be a number whose gradient is none."""
    loss = RetrievalTask.contrast
    monkeypatch.setattr(
        RetrievalTask,
        "contrast",
        lambda self, audio, *rest: loss(self, audio, *rest) + (audio * 0).abs().sqrt().sum(),
    )
    with pytest.raises(TrainingError, match=r"the gradient became (nan|inf) in epoch 1, with the clips \w+-"):
        train(*manifest, TINY, tmp_path)


def test_counts_of_steps_of_a_fused_adam_follow_the_weights() -> None:
    """Lightning moves all of an optimizer's memory but these; `meta` stands in for a device of CUDA."""
    weights = torch.nn.Linear(2, 2, device="meta")
    optimizer = torch.optim.Adam(weights.parameters(), fused=True)
    for parameter in weights.parameters():
        optimizer.state[parameter] = {"step": torch.tensor(3.0)}
    steps_to_devices(optimizer)
    assert {memory["step"].device.type for memory in optimizer.state.values()} == {"meta"}


def test_sixteen_bits_learn_as_thirty_two_do(manifest: tuple[pa.Table, AudioFolder], tmp_path: Path) -> None:
    losses = {}
    for precision in (Precision.FULL, Precision.BF16):
        settings = TINY.model_copy(update={"precision": precision, "epochs": 4})
        curve = train(*manifest, settings, tmp_path / precision).learning_curve
        losses[precision] = [entry["train_loss"] for entry in curve]
    assert losses[Precision.BF16] != losses[Precision.FULL]
    assert losses[Precision.BF16] == pytest.approx(losses[Precision.FULL], rel=0.05)


def test_what_is_to_be_compiled_is(
    manifest: tuple[pa.Table, AudioFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs are run as they are, without a compiler of C++: that they are taken is what is tested."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()
    losses = {}
    for compiled in (False, True):
        settings = TINY.model_copy(update={"compile": compiled, "epochs": 2})
        curve = train(*manifest, settings, tmp_path / str(compiled)).learning_curve
        losses[compiled] = [entry["train_loss"] for entry in curve]
        assert (counters["frames"]["ok"] > 0) is compiled
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)


def test_a_hundredth_of_a_second_and_one_caption_for_all(
    manifest: tuple[pa.Table, AudioFolder], tmp_path: Path
) -> None:
    """Nothing can be learnt of captions that are all the same; the run goes through."""
    table, _ = manifest
    click = np.ones(RATE // 100, dtype=np.float32) / 2
    rows = []
    for number, row in enumerate(table.to_pylist()):
        soundfile.write(tmp_path / f"{number}.flac", click * (number + 1) / 50, RATE)
        rows.append({**row, "caption": "A click.", "audio_path": f"{number}.flac", "duration_s": 0.01})
    settings = TINY.model_copy(update={"epochs": 1})
    result = train(TRAINING_MANIFEST.from_rows(rows), AudioFolder(tmp_path), settings, tmp_path / "out")
    assert result.learning_curve[0]["train_loss"] == pytest.approx(np.log(settings.batch_size), rel=0.2)


def test_too_few_clips_are_refused(manifest: tuple[pa.Table, AudioFolder], tmp_path: Path) -> None:
    table, root = manifest
    with pytest.raises(TrainingError, match="32 train and 0 validation clips"):
        train(table.slice(0, 32), root, TINY, tmp_path)


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cuda:x"])
def test_a_device_that_is_not_there_is_named(
    manifest: tuple[pa.Table, AudioFolder], tmp_path: Path, device: str
) -> None:
    with pytest.raises(TrainingError, match=f"no device '{device}'"):
        train(*manifest, TINY, tmp_path, RunOptions(device))


def test_weights_that_do_not_fit_are_all_named(result: TrainingResult) -> None:
    model, _ = load_checkpoint(result.weights)
    weights = load_file(result.weights)
    del weights["temp"], weights["audio_proj.0.bias"]
    weights["audio_proj.2.weight"] = torch.zeros(3, 3)
    weights["queue"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as raised:
        load_weights(model, weights, "model.safetensors")
    message = str(raised.value)
    assert "model.safetensors" in message
    assert "missing: audio_proj.0.bias, temp" in message
    assert "unknown: queue" in message
    assert "of another shape: audio_proj.2.weight (3, 3) instead of (32, 32)" in message


def test_what_is_no_checkpoint_is_said(result: TrainingResult, tmp_path: Path) -> None:
    torn, foreign = tmp_path / "torn.safetensors", tmp_path / "foreign.safetensors"
    torn.write_bytes(result.weights.read_bytes()[:5_000])
    save_file({"weight": torch.zeros(1)}, foreign)
    for path, message in (
        (tmp_path / "absent.safetensors", "no checkpoint"),
        (torn, "not a whole safetensors file"),
        (foreign, "not written by this project"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(result: TrainingResult, tmp_path: Path) -> None:
    model, settings = load_checkpoint(result.weights)
    taken = tmp_path / "weights.safetensors"
    taken.mkdir()
    with pytest.raises(StoreError, match=r"cannot write 'weights\.safetensors'"):
        save_checkpoint(taken, model, settings)
    assert list(tmp_path.iterdir()) == [taken]


def test_paper_settings_are_those_of_section_iv_a() -> None:
    by_name = {experiment.name: experiment for experiment in EXPERIMENTS}
    paper = by_name["htsat_bert/pretraining"].settings()
    assert isinstance(paper, TrainingSettings)
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (40, 128, 5e-5)
    assert (paper.temperature, paper.objective, paper.clip.seconds) == (0.07, Objective.PAPER, 10.0)
    assert TrainingSettings().epochs == 15


def test_a_clip_longer_than_the_model_takes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"clips of 1101 frames are too long.*at most 1024"):
        TrainingSettings.model_validate({"model": ModelSettings(), "clip": {"seconds": 11.0}})


def test_definitions_load_without_torch() -> None:
    code = (
        "import sys; from wavcaps_training.definitions import defs; defs(); "
        "sys.exit(' '.join({'torch', 'transformers', 'lightning'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
