"""Training of a model, with Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import pyarrow as pa
import torch
from tensorboardX import SummaryWriter
from tqdm import tqdm

from wavcaps_training.captioner_settings import CaptionerTrainingSettings
from wavcaps_training.checkpoints import start_from
from wavcaps_training.data import AudioFiles, LogMelCache, clips_of
from wavcaps_training.distributed import is_first, process_arguments, world_size
from wavcaps_training.features import LogMel
from wavcaps_training.manifest_version import rows_sha256
from wavcaps_training.models.released import load_released
from wavcaps_training.run_state import RunState, run_id
from wavcaps_training.settings import RunSettings, TrainingSettings
from wavcaps_training.tasks.base import Task, TrainingError
from wavcaps_training.throughput import model_flops_utilisation
from wavcaps_training.training_run import Sides, Tell, TrainingRun

WEIGHTS = "weights.safetensors"
UNTRAINED_WEIGHTS = "untrained.safetensors"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class TrainingResult:
    """What a run made.

    Attributes:
        weights: the checkpoint of the best epoch by validation.
        untrained_weights: the checkpoint before the first step.
        learning_curve: one entry an epoch, with the fields of `schemas.LEARNING_CURVE`; epochs count from 1.
        best_epoch: the epoch that `weights` is of.
        parameters: number of parameters.
        trainable_parameters: number of parameters that were trained.
        seconds: how long the run took (s), with reading the audio; of a resumed run, all its parts.
        device: what it ran on.
        devices: on how many of them.
        train_clips: clips in the train split.
        validation_clips: clips in the validation split.
        flops_per_clip: floating-point operations of a training step, for each clip in it.
        utilisation: the share of the devices' peak that was reached (MFU); None: their peak is not known.
        tensorboard: the folder of TensorBoard's event files.
    """

    weights: Path
    untrained_weights: Path
    learning_curve: list[dict[str, Any]]
    best_epoch: int
    parameters: int
    trainable_parameters: int
    seconds: float
    device: str
    devices: int
    train_clips: int
    validation_clips: int
    flops_per_clip: float
    utilisation: float | None
    tensorboard: Path


def train(
    manifest: pa.Table,
    audio: AudioFiles,
    settings: TrainingSettings | CaptionerTrainingSettings,
    output_dir: Path,
    device: str = "cpu",
    on_epoch: Callable[[dict[str, Any]], object] | None = None,
    initial_weights: Path | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> TrainingResult:
    """Trains a model on the train split and keeps the epoch that does best on the validation split.

    On a CPU, the same settings and clips give the same weights. A run that is stopped or killed goes on, the
    next time that the same is asked for, from its last saved step, and ends with the same weights. Asked
    for again once it is done, it is run again.

    Under torchrun, several processes train together (`distributed`).

    Args:
        manifest: a table of `schemas.TRAINING_MANIFEST`.
        audio: where its audio is.
        settings: the model and the run.
        output_dir: where the checkpoints, the state of the run and TensorBoard's files are written.
        device: `cpu`, `cuda` or `cuda:<number>`.
        on_epoch: told each entry of the learning curve when its epoch ends.
        initial_weights: a checkpoint to begin with: fine-tuning.
        say: told a line that a person wants to read.

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
    accelerator, devices, device_name = resolve_device(device)
    lightning.seed_everything(settings.seed, verbose=False)
    task = build_task(settings)
    initial = start_from(initial_weights, task.model, settings).weights_sha256 if initial_weights else None
    version = rows_sha256(manifest)
    if is_first():
        task.save(output_dir / UNTRAINED_WEIGHTS, version)
    if settings.compile:
        task.compile()
    cache = LogMelCache(LogMel(settings.front_end)) if settings.cache_log_mel else None
    state = RunState(output_dir, run_id(settings, version, initial), say)
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
        if run.progress.epoch < settings.epochs:
            trainer.fit(run)
    progress = run.progress
    if is_first():
        state.remove()
    seconds = progress.seconds
    rate = sum(entry["clips_per_second"] for entry in progress.learning_curve) / len(progress.learning_curve)
    flops = run.flops_per_clip or 0.0
    return TrainingResult(
        weights=output_dir / WEIGHTS,
        untrained_weights=output_dir / UNTRAINED_WEIGHTS,
        learning_curve=progress.learning_curve,
        best_epoch=progress.best_epoch,
        parameters=sum(parameter.numel() for parameter in task.model.parameters()),
        trainable_parameters=sum(p.numel() for p in task.model.parameters() if p.requires_grad),
        seconds=seconds,
        device=device_name,
        devices=world_size(),
        train_clips=len(train_clips),
        validation_clips=len(validation_clips),
        flops_per_clip=flops,
        utilisation=model_flops_utilisation(flops, rate, device_name, settings.precision, world_size()),
        tensorboard=output_dir / TENSORBOARD,
    )


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
