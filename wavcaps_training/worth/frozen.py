"""Trains a retrieval model whose encoders are frozen: two projections, on features that are computed once.

The steps are those of `training.run`, and so are the weights. Without Lightning, checkpoints and TensorBoard,
a seed of the demo's model takes about five CPU seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import lightning
import numpy as np
import torch
from torch import Tensor

from wavcaps_training.data import Batch, Clip, Example, examples_of, plan_epoch
from wavcaps_training.models.building import build_model
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.training import CaptionChoice, Precision, TrainingSettings
from wavcaps_training.tasks.retrieval import RetrievalTask
from wavcaps_training.training.run import adam, learning_rate_factor, step_seed, steps_per_epoch
from wavcaps_training.training.train import check_clips

# By caption: what the frozen text encoder makes of it.
Texts = dict[str, Tensor]


def is_frozen(settings: TrainingSettings) -> bool:
    """Whether only projections are trained, in 32 bits, so that features say all about a clip."""
    text = settings.model.text.frozen
    return settings.audio_encoder.pretrained and text and settings.precision is Precision.FULL


def train_projections(
    train: Sequence[Clip],
    validation: Sequence[Clip],
    features: Mapping[str, Tensor],
    settings: TrainingSettings,
    texts: Texts,
) -> RetrievalModel:
    """Trains one seed, and returns the model of the epoch that does best on the validation clips.

    Args:
        train, validation: clips, each with features.
        features: (width,) by clip id.
        settings: of a model for which `is_frozen`.
        texts: gets the features of the captions, for the next seed of the same clips.

    Raises:
        TrainingError: too few clips, or a loss that is not finite.
        PretrainedWeightsError, TextModelError: an encoder is not installed.
    """
    check_clips(list(train), list(validation), settings)
    lightning.seed_everything(settings.seed, verbose=False)
    model = build_model(settings)
    assert isinstance(model, RetrievalModel)
    task = RetrievalTask(model, settings)
    if model.audio_scale is not None:
        model.audio_scale.fit(torch.stack([features[clip.clip_id] for clip in train]))
    task.frozen_text = texts
    if not texts:
        with torch.no_grad():
            task.prepare([*train, *validation])
    optimizer = adam(model, settings)
    # Looking for them in BERT takes longer than a step.
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    per_epoch = steps_per_epoch(train, settings)
    warmup, total = round(settings.warmup_epochs * per_epoch), settings.epochs * per_epoch
    step, best, best_epoch, kept = 0, -1.0, 0, _trained(model)
    for epoch in range(settings.epochs):
        task.epoch = epoch
        model.train()
        for batch in _batches(train, features, settings, epoch):
            torch.manual_seed(step_seed(settings.seed, step, 0))
            optimizer.zero_grad()
            for part in task.parts(batch):
                part.loss.backward()
            _check_gradients(task, batch, parameters)
            rate = settings.learning_rate * learning_rate_factor(step, warmup, total, settings.cosine)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            step += 1
        model.eval()
        with torch.no_grad():
            for batch in _batches(validation, features, settings, None):
                task.validate(batch)
        score = task.validation_scores()[task.selection]
        if score > best:
            best, best_epoch, kept = score, epoch, _trained(model)
        patience = settings.early_stop_epochs
        if patience is not None and epoch - best_epoch >= patience:
            break
    model.load_state_dict(kept, strict=False)
    return model.eval()


def embed_features(
    model: RetrievalModel,
    clips: Sequence[Clip],
    features: Mapping[str, Tensor],
    texts: Texts,
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors of clips and of their captions, as `evaluation.retrieval.embed` gives them.

    Args:
        texts: gets the features of the captions.
    """
    captions = [caption for clip in clips for caption in clip.captions]
    with torch.no_grad():
        new = [caption for caption in dict.fromkeys(captions) if caption not in texts]
        for start in range(0, len(new), batch_size):
            some = new[start : start + batch_size]
            texts.update(zip(some, model.text_encoder(some), strict=True))
        sounds = model.embed_audio_features(torch.stack([features[clip.clip_id] for clip in clips]))
        words = model.embed_text_features(torch.stack([texts[caption] for caption in captions]))
    clip_of_caption = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    return sounds.numpy(), words.numpy(), clip_of_caption


@contextmanager
def one_thread() -> Iterator[None]:
    """Small matrices are multiplied faster by one thread, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _batches(
    clips: Sequence[Clip], features: Mapping[str, Tensor], settings: TrainingSettings, epoch: int | None
) -> Iterator[Batch]:
    """The batches of an epoch of training; None: of an evaluation."""
    choice = settings.captions if epoch is not None else CaptionChoice.ALL
    examples: list[Example] = examples_of(clips, choice, settings.seed, epoch or 0)
    for places in plan_epoch(examples, settings, epoch or 0, training=epoch is not None):
        some = [examples[place] for place in places]
        ids = [one.clip.clip_id for one in some]
        audio = torch.stack([features[clip_id] for clip_id in ids]).unsqueeze(1)
        yield Batch(ids, [one.caption for one in some], audio)


def _check_gradients(task: RetrievalTask, batch: Batch, parameters: Sequence[Tensor]) -> None:
    gradients = [one.grad for one in parameters if one.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if not torch.isfinite(norm):
        raise task.broken("gradient", float(norm), batch.clip_ids)
    if task.settings.clip_gradient_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, task.settings.clip_gradient_norm, norm)


def _trained(model: RetrievalModel) -> dict[str, Tensor]:
    """A copy of what is trained, by name."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
