"""CNN14: six blocks of convolutions over a log-mel spectrogram (https://arxiv.org/abs/1912.10211).

This is the version of the released WavCaps models, which differs from PANNs': the last block is pooled too,
and no layer follows the mean over frequency, except one in the captioner. Names in the state dict are those
of PANNs and of the released WavCaps models, so that their weights load by name.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.features import LogMel
from wavcaps_training.models.spec_augment import spec_augment
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings


@dataclass(frozen=True)
class Cnn14Output:
    """The encoder's output for a batch of clips.

    Attributes:
        step_embedding: (batch, steps, channels), the mean over frequency at each time step.
        fine_grained_embedding: (batch, steps, width), for captioning: the same, or the output of `fc1` if
            the settings have one.
    """

    step_embedding: Tensor
    fine_grained_embedding: Tensor

    @property
    def embedding(self) -> Tensor:
        """(batch, channels): the maximum plus the mean over time, for retrieval."""
        return self.step_embedding.amax(dim=1) + self.step_embedding.mean(dim=1)


class Cnn14(AudioNetwork):
    """The audio encoder. Takes waveforms, or log-mels from `audio_feats_extractor`."""

    settings: Cnn14Settings
    audio_feats_extractor: LogMel

    def __init__(self, settings: Cnn14Settings) -> None:
        super().__init__()
        self.settings = settings
        self.audio_feats_extractor = LogMel(settings.front_end)
        self.bn0 = nn.BatchNorm2d(settings.front_end.mel_bins)
        width = 1
        for number, channels in enumerate(settings.channels, start=1):
            self.add_module(f"conv_block{number}", ConvBlock(width, channels))
            width = channels
        self.fc1 = nn.Linear(width, settings.fc1_dim) if settings.fc1_dim else None
        self.apply(initialise)

    def forward(self, waveform: Tensor) -> Cnn14Output:
        """Encodes waveforms.

        Args:
            waveform: (batch, samples) at the front end's sample rate, mono.

        Raises:
            ValueError: the clips are shorter than the model takes.
        """
        return self.encode(self.audio_feats_extractor(waveform))

    def encode(self, log_mel: Tensor) -> Cnn14Output:
        """Encodes log-mels: (batch, 1, frames, mel bins), in dB.

        Raises:
            ValueError: there are too few frames for the blocks, each of which halves them.
        """
        frames, wanted = log_mel.shape[2], self.settings.min_frames
        if frames < wanted:
            raise ValueError(f"the clips have {frames} frames, but this CNN14 takes at least {wanted}")
        image = self.normalise(log_mel)
        for number in range(1, len(self.settings.channels) + 1):
            image = self.drop(self.get_submodule(f"conv_block{number}")(image))
        steps = image.mean(dim=3).transpose(1, 2)
        return Cnn14Output(steps, steps if self.fc1 is None else self.drop(self.fc1(steps).relu()))

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Batch normalisation over each mel bin and, while training, SpecAugment. Keeps the shape."""
        normalised = self.bn0(log_mel.transpose(1, 3)).transpose(1, 3)
        return spec_augment(normalised, self.settings.spec_augment) if self.training else normalised

    def drop(self, features: Tensor) -> Tensor:
        return F.dropout(features, self.settings.dropout, self.training)


class ConvBlock(nn.Module):
    """Two convolutions, each normalised and rectified, and a mean over squares of `pool` by `pool`."""

    def __init__(self, width: int, channels: int, pool: int = 2) -> None:
        super().__init__()
        self.pool = pool
        self.conv1 = nn.Conv2d(width, channels, kernel_size=3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, width, frames, bins) to (batch, channels, frames // pool, bins // pool)."""
        image = convolve(image, self.conv1, self.bn1)
        image = convolve(image, self.conv2, self.bn2)
        return F.avg_pool2d(image, self.pool)


def convolve(image: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Convolution, batch normalisation, ReLU: (batch, width, rows, columns), rows and columns kept.

    Outside of training, the normalisation is a constant factor and shift for each channel. If there are fewer
    weights than output values, the weights are multiplied by the factor, which saves a pass.
    """
    pixels = image.shape[0] * image.shape[2] * image.shape[3]
    if norm.training or conv.weight.numel() >= pixels * conv.out_channels:
        return norm(convolution(image, conv.weight)).relu_()
    assert norm.running_mean is not None and norm.running_var is not None
    factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = conv.weight * factor[:, None, None, None]
    return convolution(image, weight, norm.bias - norm.running_mean * factor).relu_()


def convolution(image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3 x 3 convolution, computed in the way that is fastest for its shape.

    With channels last, oneDNN and cuDNN reorder neither the input nor the output; that pays unless there are
    more weights than output values. On a CPU, one matrix product is faster in two cases: with one channel,
    whose order oneDNN cannot recognise, and with an image so small that oneDNN mostly reorders weights.

    Args:
        image: (batch, width, rows, columns).
        weight: (channels, width, 3, 3).
        bias: (channels,).

    Returns:
        (batch, channels, rows, columns).
    """
    batch, width, rows, columns = image.shape
    pixels, channels = batch * rows * columns, len(weight)
    if image.is_cpu and (width == 1 or 2 * pixels < channels):
        patches = F.unfold(image, 3, padding=1).transpose(1, 2)
        convolved = F.linear(patches, weight.flatten(1), bias)
        return convolved.view(batch, rows, columns, channels).permute(0, 3, 1, 2)
    order = torch.channels_last if weight.numel() < pixels * channels else torch.contiguous_format
    return F.conv2d(image.contiguous(memory_format=order), weight, bias, padding=1)


def initialise(module: nn.Module) -> None:
    """PANNs' initial weights."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
