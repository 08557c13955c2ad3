"""Training of a model, with Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import lightning
import pyarrow as pa
import torch
from torch import Tensor

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import set_version_of
from wavcaps_training.checkpoints.checkpoint import read_origin, start_from
from wavcaps_training.data import (
    AudioCache,
    AudioFiles,
    Clip,
    FeatureCache,
    LogMelCache,
    clips_of,
    clips_seen,
    examples_of,
)
from wavcaps_training.data.latents import GenerationInputs
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.evaluation.clip_features import features_of
from wavcaps_training.models.device import device_name
from wavcaps_training.settings.captioner import AnyTrainingSettings
from wavcaps_training.settings.generation import GenerationTrainingSettings
from wavcaps_training.tasks.base import Task, TrainingError
from wavcaps_training.tasks.building import build_task
from wavcaps_training.tasks.retrieval import RetrievalTask
from wavcaps_training.training.distributed import is_first, process_arguments, world_size
from wavcaps_training.training.reporting import reporting
from wavcaps_training.training.result import (
    RESULT,
    TENSORBOARD,
    UNTRAINED_WEIGHTS,
    WEIGHTS,
    TrainingResult,
    read_result,
)
from wavcaps_training.training.run import Splits, TrainingRun
from wavcaps_training.training.state import RunState, SavedCopy, run_id
from wavcaps_training.training.throughput import model_flops_utilisation, peak_flops

NO_PROGRESS = NoProgress()


@dataclass(frozen=True)
class RunOptions:
    """How a run is executed, apart from its settings.

    Attributes:
        device: `cpu`, `cuda` or `cuda:<number>`.
        initial_weights: a checkpoint to start from, for fine-tuning; None: fresh weights.
        progress: `update` counts steps; `record` gets every entry of the learning curve.
        copy: a copy of the run in a bucket, updated after each save; None: there is none.
        features: those of a pretrained audio encoder that are known, by clip id; others are computed.
        inputs: the files that a latent diffusion model is trained on; None: another model is trained.
    """

    device: str = "cpu"
    initial_weights: Path | None = None
    progress: Progress = NO_PROGRESS
    copy: SavedCopy | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    inputs: GenerationInputs | None = None


def train(
    manifest: pa.Table,
    audio: AudioFiles,
    settings: AnyTrainingSettings,
    output_dir: Path,
    options: RunOptions = RunOptions(),
) -> TrainingResult:
    """Trains a model on the train split and keeps the epoch that does best on the validation split.

    On a CPU, the same settings and clips give the same weights. A run that was stopped or killed resumes from
    its last saved step when it is started again, and ends with the same weights. A run that is done is not
    run again: its result is returned.

    Under torchrun, several processes train together (`distributed`).

    Args:
        manifest: a table of `tables.TRAINING_MANIFEST`.
        audio: where its audio is.
        settings: the model and the run.
        output_dir: where the checkpoints, the run's state and TensorBoard's files are written. Another run
            in this folder is overwritten.
        options: how it is executed.

    Raises:
        TrainingError: too few clips, no such device, or a loss that is not finite.
        Stopped: the process got SIGTERM, and the run was saved.
        AudioReadError: the audio of more clips than `max_unreadable_share` is missing, silent or unreadable.
        TextModelError: there is no BERT or BART where the settings say.
        ReleasedCheckpointError: `audio_weights` are not those of the audio encoder.
        CheckpointError: the initial weights are not a checkpoint of this model.
        LatentsError: the files of a latent diffusion model cannot be read, or are of another model.
        StoreError: a checkpoint cannot be written.
    """
    settings = with_inputs(settings, options.inputs)
    train_clips, validation_clips = clips_of(manifest, "train"), clips_of(manifest, "validation")
    check_clips(train_clips, validation_clips, settings)
    accelerator, devices, hardware = resolve_device(options.device)
    version = rows_sha256(manifest)
    name = run_of(settings, version, options.initial_weights)
    done = read_result(Store(output_dir), RESULT, name)
    if done is not None:
        return TrainingResult(output_dir, **done)
    lightning.seed_everything(settings.seed, verbose=False)
    if accelerator == "cuda":
        torch.set_float32_matmul_precision("high" if settings.tf32 else "highest")
    task = build_task(settings)
    task.read_inputs(options.inputs, train_clips)
    if options.initial_weights:
        task.started_from = start_from(options.initial_weights, task.model, settings).weights_sha256
    cache = _cache_of(task, (train_clips, validation_clips), audio, options)
    if is_first():
        Store(output_dir).remove(RESULT)
        task.save(output_dir / UNTRAINED_WEIGHTS, version)
    if settings.compile:
        task.compile()
    state = RunState(output_dir, name, options.copy)
    splits = Splits(train_clips, validation_clips, audio, cache)
    run = TrainingRun(task, splits, output_dir / WEIGHTS, version, state)
    run.resume()
    folder = output_dir / TENSORBOARD if is_first() else None
    total = settings.epochs * run.steps_per_epoch
    with quiet(), reporting(folder, options.progress, settings.shown_scores, total) as run.report:
        trainer = lightning.Trainer(
            max_epochs=settings.epochs - run.position.epoch - run.validation_is_due,
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
        if run.validation_is_due:
            trainer.validate(run, verbose=False)
        if not run.done:
            trainer.fit(run)
    result = replace(_result_of(run, task, output_dir, hardware), set_version=set_version_of(manifest))
    if is_first():
        # In this order: a kill between the two leaves a finished run, and not a lost one.
        result.write(name)
        state.remove()
    return result


def _cache_of(
    task: Task, clips: tuple[Sequence[Clip], Sequence[Clip]], audio: AudioFiles, options: RunOptions
) -> AudioCache | None:
    """What takes the place of clips' waveforms, if anything does.

    The features of a pretrained audio encoder are computed here, once, and a retrieval model that does not
    start from a checkpoint standardises them as those of its train clips.

    Args:
        clips: of the train split and of the validation split.
    """
    settings = task.settings
    if task.cached is not None:
        return task.cached
    if isinstance(task, RetrievalTask) and settings.audio_encoder.pretrained:
        encoder = task.model.audio_encoder.audio_enc
        encoder.to(options.device)
        features = features_of(encoder, [*clips[0], *clips[1]], audio, settings, options.features)
        encoder.cpu()
        if task.model.audio_scale is not None and options.initial_weights is None:
            heard = [features[clip.clip_id] for clip in clips[0] if clip.clip_id in features]
            task.model.audio_scale.fit(torch.stack(heard))
        return FeatureCache(features)
    return LogMelCache(deepcopy(task.audio_network.audio_feats_extractor)) if settings.cache_log_mel else None


def check_clips(train: list[Clip], validation: list[Clip], settings: AnyTrainingSettings) -> None:
    """Raises TrainingError: the splits are too small, or the devices cannot share the batches."""
    if len(train) < 2 or not validation:
        raise TrainingError(
            f"the training manifest has {len(train)} train and {len(validation)} validation "
            "clips; training needs at least two train clips and one validation clip"
        )
    if settings.batch_size % world_size():
        raise TrainingError(
            f"batch_size is {settings.batch_size}, which {world_size()} devices cannot share evenly; make it "
            f"a multiple of {world_size()}"
        )
    examples = len(examples_of(train, settings.captions, settings.seed, 0))
    if world_size() > 1 and examples < settings.batch_size:
        raise TrainingError(
            f"the train split has {examples} examples, fewer than batch_size ({settings.batch_size}), and "
            f"{world_size()} devices would have unequal shares of them; lower batch_size, or train on one "
            "device"
        )


def _result_of(run: TrainingRun, task: Task, output_dir: Path, hardware: str) -> TrainingResult:
    position, settings = run.position, task.settings
    rate = sum(entry["clips_per_second"] for entry in position.learning_curve) / len(position.learning_curve)
    flops = position.flops_per_clip or 0.0
    examples = examples_of(run.splits.train, settings.captions, settings.seed, 0)
    return TrainingResult(
        folder=output_dir,
        learning_curve=position.learning_curve,
        best_epoch=position.best_epoch,
        parameters=sum(parameter.numel() for parameter in task.model.parameters()),
        trainable_parameters=sum(p.numel() for p in task.model.parameters() if p.requires_grad),
        seconds=position.seconds,
        device=hardware,
        devices=world_size(),
        train_clips=clips_seen(examples, settings, position.epoch, position.unreadable.get("train", ())),
        validation_clips=len(run.splits.validation) - len(position.unreadable.get("validation", ())),
        flops_per_clip=flops,
        utilisation=model_flops_utilisation(
            flops, rate, peak_flops(hardware, settings.precision, settings.tf32), world_size()
        ),
        unreadable_clips=sorted(clip_id for clips in position.unreadable.values() for clip_id in clips),
    )


def with_inputs(settings: AnyTrainingSettings, inputs: GenerationInputs | None) -> AnyTrainingSettings:
    """The settings of a run that name what its files were made by.

    Raises:
        TrainingError: a latent diffusion model has no files to be trained on.
        LatentsError: they cannot be read.
    """
    if not isinstance(settings, GenerationTrainingSettings):
        return settings
    if inputs is None:
        raise TrainingError("a latent diffusion model is trained on latents: materialize their asset first")
    return inputs.named_in(settings)


def run_of(settings: AnyTrainingSettings, manifest_sha256: str, initial_weights: Path | None) -> str:
    """The identity of a run: `run_id`, with the initial weights identified by their own hash.

    Raises:
        CheckpointError: the initial weights are not a checkpoint.
    """
    initial = read_origin(initial_weights).weights_sha256 if initial_weights is not None else None
    return run_id(settings, manifest_sha256, initial)


def resolve_device(device: str) -> tuple[str, list[int] | int, str]:
    """Lightning's accelerator and devices for a device, and the device's name.

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
    return "cuda", [number], device_name(torch.device("cuda", number))


@contextmanager
def quiet() -> Iterator[None]:
    """Hides Lightning's notices and its advice on loaders."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        logger.setLevel(level)
