"""The contrastive losses of audio-language retrieval.

In all functions, `audio` and `text` are unit vectors of clips and their captions, both (batch, dim). Row i
of one belongs to row i of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wavcaps_training.settings.training import Objective


def nt_xent(audio: Tensor, text: Tensor, temperature: Tensor) -> Tensor:
    """NT-Xent in both directions; a clip's own caption is its only positive (the paper's equation 3)."""
    logits = audio @ text.T / temperature
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def soft_nt_xent(audio: Tensor, text: Tensor, clip_ids: Sequence[str], temperature: Tensor) -> Tensor:
    """NT-Xent whose target is shared evenly by all rows of the same clip (the released code's)."""
    logits = audio @ text.T / temperature
    same = torch.tensor([[a == b for b in clip_ids] for a in clip_ids], device=logits.device)
    targets = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def embedding_regulariser(audio: Tensor, text: Tensor) -> Tensor:
    """Mean absolute value divided by the norm, of both matrices; only the released code has it."""
    return audio.abs().mean() / audio.norm() + text.abs().mean() / text.norm()


def objective_loss(
    objective: Objective, audio: Tensor, text: Tensor, clip_ids: Sequence[str], temperature: Tensor
) -> Tensor:
    """The loss that the settings name."""
    if objective is Objective.PAPER:
        return nt_xent(audio, text, temperature)
    return soft_nt_xent(audio, text, clip_ids, temperature) + embedding_regulariser(audio, text)
