"""A contrastive loss of a batch that does not fit the device (https://arxiv.org/abs/2101.06983).

The embeddings of the whole batch are computed without a graph, micro-batch by micro-batch. The loss gives the
gradient of each embedding. Then every micro-batch is computed again with a graph, and its backward pass
starts from that gradient. Random numbers, such as those of dropout, are the same in both passes.

Batch normalisation sees one micro-batch at a time, so its statistics, and with them the gradients, are
those of micro-batches, as in any gradient accumulation. Its running statistics are updated only in the
second pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wavcaps_training.data import Batch
from wavcaps_training.tasks.base import Part

Embed = Callable[[Batch], tuple[Tensor, Tensor]]


def cached_parts(
    model: nn.Module,
    batches: Sequence[Batch],
    embed: Embed,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    weights_of_loss: Sequence[Tensor],
) -> Iterator[Part]:
    """The loss of a batch in parts whose gradients add up to that of the whole batch.

    Args:
        model: the model that `embed` uses.
        batches: the batch in micro-batches.
        embed: audio and text embeddings of a micro-batch.
        loss_of: the loss of the whole batch's embeddings.
        weights_of_loss: parameters that the loss itself uses, such as a learned temperature.
    """
    states, audio_parts, text_parts = [], [], []
    with torch.no_grad(), statistics_kept(model):
        for batch in batches:
            states.append(_random_state(batch.audio.device))
            audio, text = embed(batch)
            audio_parts.append(audio)
            text_parts.append(text)
    whole_audio = torch.cat(audio_parts).requires_grad_()
    whole_text = torch.cat(text_parts).requires_grad_()
    loss = loss_of(whole_audio, whole_text)
    gradients = torch.autograd.grad(loss, [whole_audio, whole_text, *weights_of_loss])
    after = _random_state(whole_audio.device)
    start = 0
    for number, (batch, state) in enumerate(zip(batches, states, strict=True)):
        end = start + len(batch.clip_ids)
        _set_random_state(state, whole_audio.device)
        audio, text = embed(batch)
        part = (audio * gradients[0][start:end]).sum() + (text * gradients[1][start:end]).sum()
        if number == 0:
            for weight, gradient in zip(weights_of_loss, gradients[2:], strict=True):
                part = part + weight * gradient
        yield Part(part, loss.detach() if number == 0 else torch.zeros_like(loss))
        start = end
    _set_random_state(after, whole_audio.device)


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """In this context, batch normalisation uses batch statistics and does not update its running ones."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, was in zip(norms, tracked, strict=True):
            norm.track_running_stats = was


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
