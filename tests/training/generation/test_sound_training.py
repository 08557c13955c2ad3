"""Training of the autoencoder and of the latent diffusion model, in the training loop of all models."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.support.full_disk import files_no_longer_than
from tests.support.paths import ROOT
from tests.training.generation.small_sounds import (
    AUTOENCODER,
    GENERATION,
    TRAIN,
    VALIDATION,
    Sounds,
    small_sounds,
)
from tests.training.small_models import SMALL_AUTOENCODER
from wavcaps_assets.show.progress import Facts, NoProgress
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from wavcaps_training.data import Batch, clips_of
from wavcaps_training.data.latents import (
    ABOUT,
    DEVIATION,
    MEAN,
    GenerationInputs,
    LatentFile,
    LatentsError,
    Moments,
    write_latents,
)
from wavcaps_training.generation.latents import make_latents
from wavcaps_training.models.building import build_model
from wavcaps_training.settings.generation import (
    AutoencoderModelSettings,
    AutoencoderTrainingSettings,
    Condition,
    GenerationTrainingSettings,
    LatentScale,
    Predicted,
    ScheduleSettings,
)
from wavcaps_training.settings.training import Precision
from wavcaps_training.tasks.autoencoder import AutoencoderTask
from wavcaps_training.tasks.base import TrainingError
from wavcaps_training.tasks.building import build_task
from wavcaps_training.tasks.generation import GenerationTask
from wavcaps_training.training.launching import launch
from wavcaps_training.training.result import RESULT, UNTRAINED_WEIGHTS, WEIGHTS, TrainingResult
from wavcaps_training.training.run import Stopped
from wavcaps_training.training.train import RunOptions, run_of, train
from wavcaps_training.training.worker import WORKER, Job, write_job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    return small_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def trained(sounds: Sounds, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    options = RunOptions(inputs=sounds.inputs)
    return train(sounds.manifest, sounds.audio, GENERATION, tmp_path_factory.mktemp("run"), options)


def task_of(sounds: Sounds, settings: GenerationTrainingSettings = GENERATION) -> GenerationTask:
    """A task that has read its inputs."""
    task = build_task(settings)
    assert isinstance(task, GenerationTask)
    task.read_inputs(sounds.inputs, clips_of(sounds.manifest, "train"))
    return task


def test_latents_are_those_of_the_clips(sounds: Sounds) -> None:
    file = LatentFile(sounds.inputs.latents)
    assert sounds.made.clips == len(file.clips) == TRAIN + VALIDATION
    assert file.shape == sounds.made.shape == (4, 16, 16) and file.width == 16
    assert file.audio("freesound-3").norm().item() == pytest.approx(1, abs=1e-5)
    assert set(file.texts()) == {f"A tone of {200 + 300 * number} hertz." for number in range(12)}
    assert not torch.equal(file.moments("freesound-0")[0], file.moments("freesound-1")[0])


# Of patches, with a linear path, from spectrograms that are kept in memory.
PATCHES = SMALL_AUTOENCODER.model_copy(
    update={"multipliers": (1,), "patch": 4, "linear_path": True, "middle_attention": False}
)
KEPT = AUTOENCODER.model_copy(
    update={"model": AutoencoderModelSettings(audio=PATCHES), "cache_log_mel": True}
)


@pytest.mark.parametrize("settings", [AUTOENCODER, KEPT], ids=["levels", "patches"])
def test_an_autoencoder_learns(settings: AutoencoderTrainingSettings, sounds: Sounds, tmp_path: Path) -> None:
    result = train(sounds.manifest, sounds.audio, settings, tmp_path)
    first, last = result.learning_curve[0], result.learning_curve[-1]
    if settings.model.audio.linear_path:
        # It begins with what a cosine transform keeps.
        assert all(score["value"] > 90 for score in first["scores"])
    else:
        assert last["train_loss"] < first["train_loss"]
    model, _ = load_checkpoint(result.weights, task="autoencoder")
    assert model.settings == settings.model.audio


def test_an_autoencoder_learns_from_a_part_of_each_clip(sounds: Sounds) -> None:
    task = build_task(AUTOENCODER)
    assert isinstance(task, AutoencoderTask)
    frames = torch.arange(64.0).view(1, 1, 64, 1).expand(4, 1, 64, 64)
    part = task._part(frames)
    assert part.shape == (4, 1, 32, 64)
    steps = part[:, 0].diff(dim=1)
    assert torch.equal(steps, torch.ones_like(steps))
    with pytest.raises(ValueError, match=r"part_seconds is longer than clip\.seconds"):
        AutoencoderTrainingSettings(part_seconds=20.0)


def test_two_processes_train_in_16_bits_as_one_does_in_32(
    sounds: Sounds, trained: TrainingResult, tmp_path: Path
) -> None:
    """Each process draws noise of its own, so the weights are not the same; the validation's noise is."""
    settings = GENERATION.model_copy(update={"precision": Precision.BF16})
    job = Job(
        settings=settings,
        store=str(sounds.retrieval.parent),
        output=tmp_path,
        cuda=False,
        inputs=sounds.inputs,
    )
    write_job(job, sounds.manifest, tmp_path)
    launch([WORKER, str(tmp_path)], 2, lambda line: None, environment={"PYTHONPATH": str(ROOT)})
    result = json.loads((tmp_path / RESULT).read_text())["result"]
    assert result["devices"] == 2
    losses = [entry["validation_loss"] for entry in result["learning_curve"]]
    assert losses == pytest.approx([entry["validation_loss"] for entry in trained.learning_curve], rel=0.02)
    assert losses[1] < losses[0]
    weights, untrained = load_file(tmp_path / WEIGHTS), load_file(tmp_path / UNTRAINED_WEIGHTS)
    assert weights["unet.conv_in.weight"].dtype == torch.float32
    for name in ("unet.conv_in.weight", "ema.conv_in_weight"):
        assert weights[name].isfinite().all() and not torch.equal(weights[name], untrained[name])


def test_a_model_learns_and_its_checkpoint_is_complete(sounds: Sounds, trained: TrainingResult) -> None:
    curve = trained.learning_curve
    assert curve[-1]["validation_loss"] < curve[0]["validation_loss"] < 1.5
    model, settings = load_checkpoint(trained.weights, task="generation")
    assert settings.model.conditioned_by_sha256 == sounds.made.conditioned_by_sha256
    # Latents times the scale have a deviation of about 1.
    moments = [LatentFile(sounds.inputs.latents).moments(f"freesound-{number}") for number in range(4)]
    drawn = torch.stack([mean + deviation * torch.randn_like(mean) for mean, deviation in moments])
    assert (drawn * model.scale).std().item() == pytest.approx(1, abs=0.05)
    kept = sorted(path.name for path in trained.folder.glob("step_*"))
    assert kept == ["step_2.safetensors", "step_4.safetensors"]
    weights = load_file(trained.weights)
    assert not torch.equal(weights["unet.conv_in.weight"], weights["ema.conv_in_weight"])


class StopAfterAnEpoch(NoProgress):
    def record(self, facts: Facts) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_stopped_run_ends_with_the_same_weights(
    sounds: Sounds, trained: TrainingResult, tmp_path: Path
) -> None:
    stopping = RunOptions(inputs=sounds.inputs, progress=StopAfterAnEpoch())
    with pytest.raises(Stopped):
        train(sounds.manifest, sounds.audio, GENERATION, tmp_path, stopping)
    result = train(sounds.manifest, sounds.audio, GENERATION, tmp_path, RunOptions(inputs=sounds.inputs))
    expected, found = load_file(trained.weights), load_file(result.weights)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_latents_of_other_clips_make_another_run(sounds: Sounds, tmp_path: Path) -> None:
    """So that an interrupted run does not go on with them."""
    fewer = [*clips_of(sounds.manifest, "train"), *clips_of(sounds.manifest, "validation")][1:]
    models = sounds.inputs.autoencoder, sounds.retrieval
    make_latents(fewer, sounds.audio, models, tmp_path / "latents.safetensors")
    inputs = GenerationInputs(models[0], tmp_path / "latents.safetensors")
    runs = {run_of(one.named_in(GENERATION), "version", None) for one in (sounds.inputs, inputs)}
    assert len(runs) == 2
    model = GENERATION.model.model_copy(update={"condition": Condition.TEXT})
    with pytest.raises(LatentsError, match=r"no vector of the caption 'A tone of 200 hertz\.'"):
        task_of(replace(sounds, inputs=inputs), GENERATION.model_copy(update={"model": model}))


def test_conditions_are_of_the_clip_or_of_its_caption(sounds: Sounds) -> None:
    file = LatentFile(sounds.inputs.latents)
    packed = torch.arange(2 * 4 * 16 * 16 + 16.0).view(1, 1, -1)
    batch = Batch(["freesound-1"], ["A tone of 500 hertz."], packed)
    for condition, expected in (
        (Condition.AUDIO, packed[0, 0, -16:]),
        (Condition.TEXT, file.texts()["A tone of 500 hertz."]),
    ):
        model = GENERATION.model.model_copy(update={"condition": condition})
        task = task_of(sounds, GENERATION.model_copy(update={"model": model}))
        _, found = task._drawn(batch)
        assert torch.equal(found[0], expected)


def test_dropped_conditions_are_those_of_the_empty_text(sounds: Sounds) -> None:
    """Without any condition, whatever the clips' are, the loss is the same."""
    settings = GENERATION.model_copy(update={"condition_dropout": 1.0})
    task = task_of(sounds, settings)
    losses = []
    for shift in (0.0, 1.0):
        torch.manual_seed(4)
        packed = torch.ones(4, 1, 2 * 4 * 16 * 16 + 16)
        packed[..., -16:] += shift
        losses.append(task.loss(Batch(["a"] * 4, ["b"] * 4, packed)).item())
    assert losses[0] == losses[1]


def test_a_loss_that_is_not_finite_names_the_clip(sounds: Sounds) -> None:
    packed = torch.ones(2, 1, 2 * 4 * 16 * 16 + 16)
    packed[1] = torch.nan
    with pytest.raises(TrainingError, match=r"with the clips clip-2; other clips .* are not affected"):
        task_of(sounds).loss(Batch(["clip-1", "clip-2"], ["a", "b"], packed))


def test_nothing_is_explained_by_a_model_that_has_learned_nothing(sounds: Sounds) -> None:
    """The power of the velocity is less where the latents' means are all but equal."""
    model = {"schedule": ScheduleSettings(predicted=Predicted.VELOCITY)}
    settings = GENERATION.model_copy(update={"model": GENERATION.model.model_copy(update=model)})
    task = task_of(sounds, settings)
    packed = torch.zeros(4, 1, 2 * 4 * 16 * 16 + 16)
    # The output of a network with fresh weights is zero.
    with torch.no_grad():
        task.model.ema.of(task.model.unet)["conv_out.weight"].zero_()
        task.model.ema.of(task.model.unet)["conv_out.bias"].zero_()
    task.validate(Batch(["a"] * 4, ["b"] * 4, packed))
    scores = task.validation_scores()
    assert scores["validation_loss"] < 0.5 and scores["explained"] == pytest.approx(0, abs=1e-3)


def test_latents_that_are_not_finite_or_all_equal_are_refused(sounds: Sounds, tmp_path: Path) -> None:
    moments = Moments(tmp_path, 2, (4, 2, 2))
    latent = torch.zeros(2, 4, 2, 2)
    broken = torch.stack([latent[0], torch.full_like(latent[0], torch.nan)])
    for pair in ((broken, latent), (latent, broken)):
        with pytest.raises(LatentsError, match="latents of clip-2 are not finite"):
            moments.add(["clip-1", "clip-2"], *pair)
    assert moments.clips == []
    with safe_open(sounds.inputs.latents, framework="pt") as file:
        about = json.loads(file.metadata()[ABOUT])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors[MEAN] = torch.full_like(tensors[MEAN], 3.0)
    tensors[DEVIATION] = torch.zeros_like(tensors[DEVIATION])
    write_latents(tmp_path / "latents.safetensors", tensors, about)
    inputs = GenerationInputs(sounds.inputs.autoencoder, tmp_path / "latents.safetensors")
    by_channel = GENERATION.model.model_copy(update={"latent_scale": LatentScale.CHANNEL})
    for model in (GENERATION.model, by_channel):
        settings = GENERATION.model_copy(update={"model": model})
        with pytest.raises(LatentsError, match="all numbers of a channel are equal"):
            task_of(replace(sounds, inputs=inputs), settings)


def test_an_autoencoder_of_another_shape_is_refused(sounds: Sounds, tmp_path: Path) -> None:
    audio = GENERATION.model.audio.model_copy(update={"latent_channels": 8})
    model = GENERATION.model.model_copy(update={"audio": audio})
    with pytest.raises(LatentsError, match=r"model\.audio\.latent_channels"):
        task_of(sounds, GENERATION.model_copy(update={"model": model}))


def test_latents_of_another_autoencoder_are_refused(sounds: Sounds, tmp_path: Path) -> None:
    other = tmp_path / "autoencoder.safetensors"
    save_checkpoint(other, build_model(AUTOENCODER), AUTOENCODER)
    changed = replace(sounds, inputs=GenerationInputs(other, sounds.inputs.latents))
    with pytest.raises(LatentsError, match="made by another autoencoder"):
        task_of(changed)


def test_latents_for_which_the_disk_has_no_space_say_so(sounds: Sounds, tmp_path: Path) -> None:
    clips = clips_of(sounds.manifest, "train")
    models = sounds.inputs.autoencoder, sounds.retrieval
    # Each of the two files while they are computed has 32 kB, and the file that is written has both.
    for most in (20_000, 40_000):
        with files_no_longer_than(most), pytest.raises(LatentsError, match="free some space"):
            make_latents(clips, sounds.audio, models, tmp_path / "latents.safetensors")
        assert list(tmp_path.iterdir()) == []


def test_damaged_latents_say_what_to_do(sounds: Sounds, tmp_path: Path) -> None:
    save_file({"mean": torch.zeros(1)}, tmp_path / "latents.safetensors")
    inputs = GenerationInputs(sounds.inputs.autoencoder, tmp_path / "latents.safetensors")
    with pytest.raises(LatentsError, match="materialize the asset of the latents again"):
        train(sounds.manifest, sounds.audio, GENERATION, tmp_path, RunOptions(inputs=inputs))
    with pytest.raises(TrainingError, match="trained on latents"):
        train(sounds.manifest, sounds.audio, GENERATION, tmp_path)
