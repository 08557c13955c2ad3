"""SpecAugment: stripes of a spectrogram set to zero while training."""

from __future__ import annotations

import torch
from torch import Tensor

from wavcaps_training.settings.encoder import SpecAugmentSettings


def spec_augment(spectrogram: Tensor, settings: SpecAugmentSettings) -> Tensor:
    """Masks time stripes, then frequency stripes, drawn for each clip.

    The widths and starts come from torch's CPU generator in the order of torchlibrosa's
    SpecAugmentation: the time pass over the whole batch and then the frequency pass, for each clip
    and stripe its width and then its start.

    Args:
        spectrogram: (batch, 1, frames, mel bins), normalised, so that 0 is near the mean.

    Returns:
        The masked copy, of the same shape.
    """
    batch, _, frames, bins = spectrogram.shape
    times = stripes(batch, frames, settings.time_width, settings.time_stripes)
    mels = stripes(batch, bins, settings.mel_width, settings.mel_stripes)
    masked = times[:, None, :, None] | mels[:, None, None, :]
    return spectrogram.masked_fill(masked.to(spectrogram.device), 0.0)


@torch.compiler.disable
def stripes(batch: int, length: int, width: int, count: int) -> Tensor:
    """True where a stripe lies: (batch, length). Stripes are narrower than `width` and `length`."""
    masked = torch.zeros(batch, length, dtype=torch.bool)
    widest = min(width, length)
    if widest == 0:
        return masked
    for clip in range(batch):
        for _ in range(count):
            drawn = int(torch.randint(0, widest, (1,)))
            start = int(torch.randint(0, length - drawn, (1,)))
            masked[clip, start : start + drawn] = True
    return masked
