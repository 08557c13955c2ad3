"""SpecAugment: stripes of a spectrogram set to zero while training."""

from __future__ import annotations

import torch
from torch import Tensor

from wavcaps_training.settings.encoder import SpecAugmentSettings


def spec_augment(spectrogram: Tensor, settings: SpecAugmentSettings) -> Tensor:
    """Masks time stripes, then frequency stripes, drawn for each clip.

    On a CPU, the widths and starts come from torch's generator in the order of torchlibrosa's
    SpecAugmentation: the time pass over the whole batch and then the frequency pass, for each clip
    and stripe its width and then its start. On a GPU, the same distribution is drawn there, once for the
    batch: hundreds of single draws and a copy of the mask would let the GPU wait.

    Args:
        spectrogram: (batch, 1, frames, mel bins), normalised, so that 0 is near the mean.

    Returns:
        The masked copy, of the same shape.
    """
    batch, _, frames, bins = spectrogram.shape
    if spectrogram.is_cpu:
        times = stripes(batch, frames, settings.time_width, settings.time_stripes)
        mels = stripes(batch, bins, settings.mel_width, settings.mel_stripes)
    else:
        count = settings.time_stripes + settings.mel_stripes
        drawn = torch.rand(2, batch, count, device=spectrogram.device)
        time_draws, mel_draws = drawn.split([settings.time_stripes, settings.mel_stripes], dim=2)
        times = drawn_stripes(time_draws, frames, settings.time_width)
        mels = drawn_stripes(mel_draws, bins, settings.mel_width)
    masked = times[:, None, :, None] | mels[:, None, None, :]
    return spectrogram.masked_fill(masked, 0.0)


def drawn_stripes(drawn: Tensor, length: int, width: int) -> Tensor:
    """True where a stripe lies: (batch, length), distributed as those of `stripes`.

    Args:
        drawn: (2, batch, stripes) uniform in [0, 1): for the width and the start of each stripe.
        length: of the axis.
        width: stripes are narrower than this.
    """
    widths = (drawn[0] * min(width, length)).floor()
    starts = (drawn[1] * (length - widths)).floor()
    places = torch.arange(length, device=drawn.device)
    inside = (places >= starts[..., None]) & (places < (starts + widths)[..., None])
    return inside.any(dim=1)


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
