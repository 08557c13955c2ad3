"""What the released recipe computes, plainly: the peers of our front end, HTSAT and CNN14.

Written from a description of its numbers, operation by operation where the cost is: a front end of frozen
convolutions, attention in its parts, windows cut and joined by copies. Names in the state dicts are those of
our models, whose weights load by name.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavcaps_training.models.cnn14 import Cnn14
from wavcaps_training.models.features import FLOOR, LogMel
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.settings.encoder import FrontEndSettings, SpecAugmentSettings
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import HtsatSettings


class ConvolvedLogMel(nn.Module):
    """The front end by convolution: real and imaginary parts of a DFT with the window in its kernels."""

    conv_real: Tensor
    conv_imag: Tensor
    mel_filters: Tensor

    def __init__(self, settings: FrontEndSettings) -> None:
        super().__init__()
        self.settings = settings
        samples = torch.arange(settings.window, dtype=torch.float64)
        angles = 2 * math.pi / settings.window * torch.outer(samples[: settings.window // 2 + 1], samples)
        window = torch.hann_window(settings.window, dtype=torch.float64)
        self.register_buffer("conv_real", (angles.cos() * window).float().unsqueeze(1), persistent=False)
        self.register_buffer("conv_imag", (-angles.sin() * window).float().unsqueeze(1), persistent=False)
        self.register_buffer("mel_filters", LogMel(settings).mel_filters, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, 1, frames, mel bins)."""
        half = self.settings.window // 2
        padded = F.pad(waveform.unsqueeze(1), (half, half), mode="reflect")
        real = F.conv1d(padded, self.conv_real, stride=self.settings.hop)
        imaginary = F.conv1d(padded, self.conv_imag, stride=self.settings.hop)
        power = real.unsqueeze(1).transpose(2, 3) ** 2 + imaginary.unsqueeze(1).transpose(2, 3) ** 2
        mel = torch.matmul(power, self.mel_filters)
        return 10.0 * torch.log10(torch.clamp(mel, min=FLOOR, max=math.inf))


def mask_in_place(spectrogram: Tensor, settings: SpecAugmentSettings) -> Tensor:
    """SpecAugment clip by clip: time stripes, then frequency stripes."""
    for axis, width, count in (
        (1, settings.time_width, settings.time_stripes),
        (2, settings.mel_width, settings.mel_stripes),
    ):
        for clip in range(len(spectrogram)):
            length = spectrogram.shape[axis + 1]
            for _ in range(count):
                drawn = int(torch.randint(0, width, (1,)))
                start = int(torch.randint(0, length - drawn, (1,)))
                spectrogram[clip].narrow(axis, start, drawn).fill_(0)
    return spectrogram


class PlainHtsat(nn.Module):
    """HTSAT with each step separate. Returns the embedding, and also computes the other outputs."""

    patch_embed: Any
    layers: Any

    def __init__(self, settings: HtsatSettings) -> None:
        super().__init__()
        self.settings = settings
        self.audio_feats_extractor = ConvolvedLogMel(settings.front_end)
        self.bn0 = nn.BatchNorm2d(settings.front_end.mel_bins)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(1, settings.embed_dim, settings.patch_size, settings.patch_size)
        self.patch_embed.norm = nn.LayerNorm(settings.embed_dim)
        drops = iter(torch.linspace(0, settings.drop_path, sum(settings.depths)).tolist())
        grid = settings.spec_size // settings.patch_size
        self.layers = nn.ModuleList()
        for number, (depth, heads) in enumerate(zip(settings.depths, settings.heads, strict=True)):
            dim, side = settings.embed_dim << number, grid >> number
            stage: Any = nn.Module()
            stage.blocks = nn.ModuleList(
                PlainBlock(settings, dim, side, heads, bool(block % 2), next(drops)) for block in range(depth)
            )
            if number < len(settings.depths) - 1:
                stage.downsample = PlainMerging(dim, side)
            self.layers.append(stage)
        dim = settings.embedding_dim
        self.norm = nn.LayerNorm(dim)
        self.tscam_conv = nn.Conv2d(dim, settings.classes, (2, 3), padding=(0, 1))
        self.head = nn.Linear(settings.classes, settings.classes)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, dim)."""
        settings = self.settings
        log_mel = self.bn0(self.audio_feats_extractor(waveform).transpose(1, 3)).transpose(1, 3)
        if self.training:
            log_mel = mask_in_place(log_mel, settings.spec_augment)
        batch, bins, size, chunks = len(log_mel), log_mel.shape[3], settings.spec_size, settings.chunks
        log_mel = F.interpolate(log_mel, (settings.max_frames, bins), mode="bicubic", align_corners=True)
        folded = log_mel.permute(0, 1, 3, 2).contiguous().reshape(batch, 1, bins, chunks, size)
        image = folded.permute(0, 1, 3, 2, 4).contiguous().reshape(batch, 1, size, size)
        tokens = self.patch_embed.norm(self.patch_embed.proj(image).flatten(2).transpose(1, 2))
        for stage in self.layers:
            for block in stage.blocks:
                tokens = block(tokens)
            if hasattr(stage, "downsample"):
                tokens = stage.downsample(tokens)
        tokens = self.norm(tokens)
        side = math.isqrt(tokens.shape[1])
        grid = tokens.permute(0, 2, 1).contiguous().reshape(batch, -1, chunks, side // chunks, side)
        grid = grid.permute(0, 1, 3, 2, 4).contiguous().reshape(batch, grid.shape[1], side // chunks, -1)
        repeats = settings.max_frames // grid.shape[3]
        grid.mean(dim=2).transpose(1, 2).repeat_interleave(repeats, dim=1)
        classes = self.tscam_conv(grid).flatten(2)
        torch.sigmoid(classes).transpose(1, 2).repeat_interleave(repeats, dim=1)
        torch.sigmoid(classes.mean(dim=2))
        return grid.flatten(2).mean(dim=2)


class PlainBlock(nn.Module):
    attn: Any
    mlp: Any
    attn_mask: Tensor | None

    def __init__(
        self, settings: HtsatSettings, dim: int, grid: int, heads: int, shifted: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.grid, self.heads, self.drop_path = grid, heads, drop_path
        self.window = settings.window_size
        self.shift = self.window // 2 if shifted and grid > self.window else 0
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.Module()
        self.attn.relative_position_bias_table = nn.Parameter(torch.zeros((2 * self.window - 1) ** 2, heads))
        self.attn.register_buffer(
            "relative_position_index", torch.zeros(self.window**2, self.window**2, dtype=torch.long)
        )
        self.attn.qkv, self.attn.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(dim, settings.mlp_ratio * dim)
        self.mlp.fc2 = nn.Linear(settings.mlp_ratio * dim, dim)
        shape = ((grid // self.window) ** 2, self.window**2, self.window**2)
        self.register_buffer("attn_mask", torch.zeros(shape) if self.shift else None)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, dim = tokens.shape
        image = self.norm1(tokens).view(batch, self.grid, self.grid, dim)
        if self.shift:
            image = torch.roll(image, (-self.shift, -self.shift), (1, 2))
        side, window = self.grid // self.window, self.window
        windows = image.view(batch, side, window, side, window, dim).permute(0, 1, 3, 2, 4, 5).contiguous()
        attended = self.attend(windows.view(-1, window * window, dim))
        image = attended.view(batch, side, side, window, window, dim).permute(0, 1, 3, 2, 4, 5).contiguous()
        image = image.view(batch, self.grid, self.grid, dim)
        if self.shift:
            image = torch.roll(image, (self.shift, self.shift), (1, 2))
        tokens = tokens + self.drop(image.view(batch, count, dim))
        return tokens + self.drop(self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(tokens)))))

    def attend(self, windows: Tensor) -> Tensor:
        """(windows of all clips, tokens, dim) to the same."""
        count, tokens, dim = windows.shape
        width = dim // self.heads
        qkv = self.attn.qkv(windows).reshape(count, tokens, 3, self.heads, width).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0] * width**-0.5, qkv[1], qkv[2]
        scores = query @ key.transpose(-2, -1)
        bias = self.attn.relative_position_bias_table[self.attn.relative_position_index.view(-1)]
        scores = scores + bias.view(tokens, tokens, -1).permute(2, 0, 1).contiguous().unsqueeze(0)
        if self.attn_mask is not None:
            kinds = len(self.attn_mask)
            scores = scores.view(count // kinds, kinds, self.heads, tokens, tokens)
            scores = (scores + self.attn_mask.unsqueeze(1).unsqueeze(0)).view(-1, self.heads, tokens, tokens)
        attention = torch.softmax(scores, dim=-1)
        return self.attn.proj((attention @ value).transpose(1, 2).reshape(count, tokens, dim))

    def drop(self, tokens: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return tokens
        kept = 1 - self.drop_path
        return tokens.div(kept) * (kept + torch.rand(len(tokens), 1, 1, device=tokens.device)).floor_()


class PlainMerging(nn.Module):
    def __init__(self, dim: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.norm, self.reduction = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        image = tokens.view(len(tokens), self.grid, self.grid, -1)
        corners = [image[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1).flatten(1, 2)))


class PlainCnn14(nn.Module):
    """CNN14 with every step by itself. Gives the embedding."""

    def __init__(self, settings: Cnn14Settings) -> None:
        super().__init__()
        self.settings = settings
        self.audio_feats_extractor = ConvolvedLogMel(settings.front_end)
        self.bn0 = nn.BatchNorm2d(settings.front_end.mel_bins)
        self.blocks: list[Any] = []
        for number, (width, channels) in enumerate(pairwise((1, *settings.channels)), start=1):
            block: Any = nn.Module()
            block.conv1 = nn.Conv2d(width, channels, 3, padding=1, bias=False)
            block.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            block.bn1, block.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
            self.add_module(f"conv_block{number}", block)
            self.blocks.append(block)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, channels)."""
        image = self.bn0(self.audio_feats_extractor(waveform).transpose(1, 3)).transpose(1, 3)
        if self.training:
            image = mask_in_place(image, self.settings.spec_augment)
        for block in self.blocks:
            image = F.relu_(block.bn1(block.conv1(image)))
            image = F.relu_(block.bn2(block.conv2(image)))
            image = F.avg_pool2d(image, kernel_size=(2, 2))
            image = F.dropout(image, self.settings.dropout, self.training)
        steps = torch.mean(image, dim=3)
        return torch.max(steps, dim=2)[0] + torch.mean(steps, dim=2)


def plain_copy(model: Htsat | Cnn14) -> PlainHtsat | PlainCnn14:
    """The plain model with the weights of ours, and in its mode."""
    plain = PlainHtsat(model.settings) if isinstance(model, Htsat) else PlainCnn14(model.settings)
    plain.load_state_dict(model.state_dict())
    return plain.train(model.training)
