"""Training of a model, with Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import pyarrow as pa
import torch
from tensorboardX import SummaryWriter
from tqdm import tqdm

from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.files import read_origin, start_from
from wavcaps_training.checkpoints.released import load_released
from wavcaps_training.data import AudioFiles, LogMelCache, clips_of, examples_of
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.models.features import LogMel
from wavcaps_training.settings.captioner import CaptionerTrainingSettings
from wavcaps_training.settings.training import RunSettings, TrainingSettings
from wavcaps_training.tasks.base import Task, TrainingError
from wavcaps_training.training.distributed import is_first, process_arguments, world_size
from wavcaps_training.training.result import (
    RESULT,
    TENSORBOARD,
    UNTRAINED_WEIGHTS,
    WEIGHTS,
    TrainingResult,
    read_result,
)
from wavcaps_training.training.run import Sides, Tell, TrainingRun
from wavcaps_training.training.state import RunState, run_id
from wavcaps_training.training.throughput import model_flops_utilisation

__all__ = ["WEIGHTS", "build_task", "run_of", "train"]


def train(
    manifest: pa.Table,
    audio: AudioFiles,
    settings: TrainingSettings | CaptionerTrainingSettings,
    output_dir: Path,
    device: str = "cpu",
    on_epoch: Callable[[dict[str, Any]], object] | None = None,
    initial_weights: Path | None = None,
    say: Callable[[str], object] = lambda line: None,
    after_save: Callable[[], object] = lambda: None,
) -> TrainingResult:
    """Trains a model on the train split and keeps the epoch that does best on the validation split.

    On a CPU, the same settings and clips give the same weights. A run that is stopped or killed goes on, the
    next time that the same is asked for, from its last saved step, and ends with the same weights. Asked
    for again once it is done, it is not run again: the answer is what it made.

    Under torchrun, several processes train together (`distributed`).

    Args:
        manifest: a table of `tables.TRAINING_MANIFEST`.
        audio: where its audio is.
        settings: the model and the run.
        output_dir: where the checkpoints, the state of the run and TensorBoard's files are written. A run
            of something else that is there is overwritten.
        device: `cpu`, `cuda` or `cuda:<number>`.
        on_epoch: told each entry of the learning curve when its epoch ends.
        initial_weights: a checkpoint to begin with: fine-tuning.
        say: told a line that a person wants to read.
        after_save: called when it has been written down where the run is.

    Raises:
        TrainingError: too few clips, no such device, or a loss that is no number.
        Stopped: the process got SIGTERM, and the run was saved.
        AudioReadError: a clip's audio is missing, silent or unreadable.
        TextModelError: there is no BERT or BART where the settings say.
        ReleasedCheckpointError: `audio_weights` are not those of the audio encoder.
        CheckpointError: the initial weights are no checkpoint of this model.
        StoreError: a checkpoint cannot be written.
    """
    train_clips, validation_clips = clips_of(manifest, "train"), clips_of(manifest, "validation")
    if len(train_clips) < 2 or not validation_clips:
        raise TrainingError(
            f"the training manifest has {len(train_clips)} train and {len(validation_clips)} validation "
            "clips; at least two of the first and one of the second are needed"
        )
    if settings.batch_size % world_size():
        raise TrainingError(
            f"batch_size is {settings.batch_size}, which {world_size()} devices cannot share evenly; make it "
            f"a multiple of {world_size()}"
        )
    examples = len(examples_of(train_clips, settings.captions, settings.seed, 0))
    if world_size() > 1 and examples < settings.batch_size:
        raise TrainingError(
            f"the train split has {examples} examples, fewer than batch_size ({settings.batch_size}), and "
            f"{world_size()} devices would have unequal shares of them; lower it, or train on one device"
        )
    accelerator, devices, device_name = resolve_device(device)
    version = rows_sha256(manifest)
    name = run_of(settings, version, initial_weights)
    done = read_result(Store(output_dir), RESULT, name)
    if done is not None:
        return TrainingResult(output_dir, **done)
    lightning.seed_everything(settings.seed, verbose=False)
    task = build_task(settings)
    if initial_weights:
        start_from(initial_weights, task.model, settings)
    if is_first():
        Store(output_dir).remove(RESULT)
        task.save(output_dir / UNTRAINED_WEIGHTS, version)
    if settings.compile:
        task.compile()
    cache = LogMelCache(LogMel(settings.front_end)) if settings.cache_log_mel else None
    state = RunState(output_dir, name, say, after_save)
    sides = Sides(train_clips, validation_clips, audio, cache)
    with quiet(), progress_of(settings, task, output_dir, on_epoch) as (tell, bar):
        run = TrainingRun(task, sides, output_dir / WEIGHTS, version, state, tell)
        run.resume()
        bar.total, bar.n = settings.epochs * run.steps_per_epoch, run.progress.step
        trainer = lightning.Trainer(
            max_epochs=max(settings.epochs - run.progress.epoch, 0),
            precision=settings.precision.value,
            reload_dataloaders_every_n_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=output_dir,
            use_distributed_sampler=False,
            **process_arguments(accelerator, devices),
        )
        if not run.done:
            trainer.fit(run)
    progress = run.progress
    rate = sum(entry["clips_per_second"] for entry in progress.learning_curve) / len(progress.learning_curve)
    flops = progress.flops_per_clip or 0.0
    result = TrainingResult(
        folder=output_dir,
        learning_curve=progress.learning_curve,
        best_epoch=progress.best_epoch,
        parameters=sum(parameter.numel() for parameter in task.model.parameters()),
        trainable_parameters=sum(p.numel() for p in task.model.parameters() if p.requires_grad),
        seconds=progress.seconds,
        device=device_name,
        devices=world_size(),
        train_clips=len(train_clips),
        validation_clips=len(validation_clips),
        flops_per_clip=flops,
        utilisation=model_flops_utilisation(flops, rate, device_name, settings.precision, world_size()),
    )
    if is_first():
        # In this order: a kill between the two leaves a run that is done, and not one that is gone.
        result.write(name)
        state.remove()
    return result


def run_of(
    settings: TrainingSettings | CaptionerTrainingSettings, manifest_sha256: str, initial_weights: Path | None
) -> str:
    """Which run it is: `run_id`, with the initial weights by what they say of themselves.

    Raises:
        CheckpointError: they are no checkpoint.
    """
    initial = read_origin(initial_weights).weights_sha256 if initial_weights is not None else None
    return run_id(settings, manifest_sha256, initial)


def build_task(settings: TrainingSettings | CaptionerTrainingSettings) -> Task:
    """A model for what the settings are for, ready to be trained.

    Raises:
        TextModelError: there is no BERT or BART where the settings say.
        ReleasedCheckpointError: `audio_weights` are not those of the audio encoder.
    """
    if isinstance(settings, CaptionerTrainingSettings):
        from wavcaps_training.models.captioner import Captioner
        from wavcaps_training.tasks.captioning import CaptioningTask

        captioner = Captioner.build(settings.model)
        start_audio(captioner.encoder.audio_enc, settings)
        return CaptioningTask(captioner, settings)
    from wavcaps_training.models.retrieval import RetrievalModel
    from wavcaps_training.tasks.retrieval import RetrievalTask

    model = RetrievalModel.build(settings)
    start_audio(model.audio_encoder.audio_enc, settings)
    return RetrievalTask(model, settings)


def start_audio(encoder: torch.nn.Module, settings: RunSettings) -> None:
    """Gives an audio encoder the weights that the settings name, if they name any."""
    if settings.audio_weights:
        load_released(Path(settings.audio_weights), encoder)


@contextmanager
def progress_of(
    settings: TrainingSettings | CaptionerTrainingSettings,
    task: Task,
    output_dir: Path,
    on_epoch: Callable[[dict[str, Any]], object] | None,
) -> Iterator[tuple[Tell, Any]]:
    """A progress bar in the terminal, and TensorBoard's files: both of the first process only."""
    first = is_first()
    bar = tqdm(unit="step", desc="training", disable=None if first else True)
    writer = SummaryWriter(str(output_dir / TENSORBOARD)) if first else None
    said: dict[str, str] = {}

    def on_step(loss: float, clips: int) -> None:
        bar.set_postfix({"loss": f"{loss:.3f}", **said}, refresh=False)
        bar.update()

    def told(entry: Mapping[str, Any]) -> None:
        scores = {score["name"]: score["value"] for score in entry["scores"]}
        said.update({name: f"{scores[key]:.1f}" for key, name in task.shown.items()})
        said["clips/s"] = f"{entry['clips_per_second']:.1f}"
        if on_epoch is not None and first:
            on_epoch(dict(entry))

    try:
        yield Tell(on_step, told, writer), bar
    finally:
        bar.close()
        if writer is not None:
            writer.close()


def resolve_device(device: str) -> tuple[str, list[int] | int, str]:
    """Lightning's accelerator and devices for a device, and what to call it.

    Raises:
        TrainingError: there is no such device.
    """
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return "cpu", 1, "cpu"
    number = int(index or 0) if kind == "cuda" and (not index or index.isdigit()) else None
    if number is None:
        raise TrainingError(f"no device {device!r}: give cpu, cuda or cuda:<number>")
    if number >= torch.cuda.device_count():
        raise TrainingError(
            f"no device {device!r}: torch sees {torch.cuda.device_count()} CUDA devices. Compare "
            "`nvidia-smi -L`, CUDA_VISIBLE_DEVICES and torch.version.cuda: the driver may be too old, or "
            "torch built without CUDA"
        )
    return "cuda", [number], f"cuda ({torch.cuda.get_device_name(number)})"


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Lightning's notices and its advice on loaders off the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        logger.setLevel(level)
