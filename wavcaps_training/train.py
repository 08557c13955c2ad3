"""Training of the retrieval model, with Lightning."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from wavcaps_training.checkpoints import save_checkpoint
from wavcaps_training.data import Clip, ClipDataset, clips_of, collate
from wavcaps_training.features import LogMel
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings import TrainingSettings
from wavcaps_training.training_run import RetrievalTraining, TrainingError

WEIGHTS = "weights.safetensors"
UNTRAINED_WEIGHTS = "untrained.safetensors"


@dataclass(frozen=True)
class TrainingResult:
    """What a run made.

    Attributes:
        weights: the checkpoint of the best epoch by the validation split's recall sum.
        untrained_weights: the checkpoint before the first step.
        learning_curve: one entry an epoch, with the fields of `schemas.LEARNING_CURVE`; recalls are
            in percent and the mean of the two directions, epochs count from 1.
        best_epoch: the epoch that `weights` is of.
        parameters: number of parameters.
        trainable_parameters: number of parameters that were trained.
        seconds: how long the run took (s), with reading the audio.
        device: what it ran on.
        train_clips: clips in the train split.
        validation_clips: clips in the validation split.
    """

    weights: Path
    untrained_weights: Path
    learning_curve: list[dict[str, Any]]
    best_epoch: int
    parameters: int
    trainable_parameters: int
    seconds: float
    device: str
    train_clips: int
    validation_clips: int


def train(
    manifest: pa.Table,
    audio_root: Path,
    settings: TrainingSettings,
    output_dir: Path,
    device: str = "cpu",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> TrainingResult:
    """Trains a model on the train split and keeps the epoch that does best on the validation split.

    On a CPU, the same settings and clips give the same weights.

    Args:
        manifest: a table of `schemas.TRAINING_MANIFEST`.
        audio_root: the folder that its audio paths are relative to.
        settings: the model and the run.
        output_dir: where the two checkpoints are written.
        device: `cpu`, `cuda` or `cuda:<number>`.
        on_epoch: told each entry of the learning curve when its epoch ends.

    Raises:
        TrainingError: too few clips, no such device, or a loss that is no number.
        AudioReadError: a clip's audio is missing or unreadable.
        TextModelError: there is no BERT where the settings say.
        StoreError: a checkpoint cannot be written.
    """
    started = time.monotonic()
    train_clips, validation_clips = clips_of(manifest, "train"), clips_of(manifest, "validation")
    if len(train_clips) < 2 or not validation_clips:
        raise TrainingError(
            f"the training manifest has {len(train_clips)} train and {len(validation_clips)} validation "
            "clips; a contrastive loss needs at least two of the first and one of the second"
        )
    accelerator, devices, device_name = resolve_device(device)
    lightning.seed_everything(settings.seed, verbose=False)
    model = RetrievalModel.build(settings)
    save_checkpoint(output_dir / UNTRAINED_WEIGHTS, model, settings)
    with quiet(), tqdm(total=settings.epochs, unit="epoch", desc="training", disable=None) as progress:

        def tell(entry: dict[str, Any]) -> None:
            progress.set_postfix(
                loss=f"{entry['train_loss']:.3f}", recall_at_1=f"{entry['validation_recall_at_1']:.1f} %"
            )
            progress.update()
            if on_epoch is not None:
                on_epoch(entry)

        run = RetrievalTraining(model, settings, output_dir / WEIGHTS, len(train_clips), tell)
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            accelerator=accelerator,
            devices=devices,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=output_dir,
        )
        trainer.fit(
            run,
            loader(train_clips, audio_root, settings, model, training=True),
            loader(validation_clips, audio_root, settings, model, training=False),
        )
    return TrainingResult(
        weights=output_dir / WEIGHTS,
        untrained_weights=output_dir / UNTRAINED_WEIGHTS,
        learning_curve=run.learning_curve,
        best_epoch=run.best_epoch,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        seconds=time.monotonic() - started,
        device=device_name,
        train_clips=len(train_clips),
        validation_clips=len(validation_clips),
    )


def loader(
    clips: Sequence[Clip],
    audio_root: Path,
    settings: TrainingSettings,
    model: RetrievalModel,
    *,
    training: bool,
) -> DataLoader[tuple[Clip, Tensor]]:
    """Batches of clips: shuffled, cropped at random and whole batches only where it is for training."""
    dataset = ClipDataset(
        clips,
        audio_root,
        settings.clip,
        settings.model.audio.front_end.sample_rate,
        random_crops=training,
        front_end=LogMel(settings.model.audio.front_end) if settings.cache_log_mel else None,
    )
    return DataLoader(
        dataset,
        settings.batch_size,
        shuffle=training,
        drop_last=training and len(clips) >= settings.batch_size,
        num_workers=settings.loader_workers,
        persistent_workers=settings.loader_workers > 0,
        collate_fn=collate,
    )


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
        raise TrainingError(f"no device {device!r}: torch sees {torch.cuda.device_count()} CUDA devices")
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
