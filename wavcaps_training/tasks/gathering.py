"""Embeddings of all processes, so that a batch has the negatives of every device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gathered(audio: Tensor, text: Tensor, clip_ids: Sequence[str]) -> tuple[Tensor, Tensor, list[str]]:
    """Embeddings and clip ids of all processes, in the order of their ranks.

    The gathering is differentiable: each process receives the gradients of all processes' losses with
    respect to its own embeddings. Each computes the same loss of the whole batch, so these add up to
    `world_size` times the gradient, which DistributedDataParallel's mean over the processes divides again.

    Args:
        audio: (share of the batch, dim), of the same size in every process.
        text: the same for the captions.
        clip_ids: of the rows.
    """
    if not is_distributed():
        return audio, text, list(clip_ids)
    ids: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(ids, list(clip_ids))
    return (
        torch.cat(all_gather(audio.contiguous())),
        torch.cat(all_gather(text.contiguous())),
        [clip_id for share in ids for clip_id in share],
    )


def gathered_notes(notes: Mapping[str, str]) -> dict[str, str]:
    """The notes of all processes together."""
    if not is_distributed():
        return dict(notes)
    everything: list[dict[str, str]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(everything, dict(notes))
    return {name: note for of_one in everything for name, note in of_one.items()}
