"""HTSAT: a Swin transformer over a folded log-mel spectrogram (https://arxiv.org/abs/2202.00874).

Names in the state dict are those of the public AudioSet model and of the released WavCaps models, so
that their weights load by name.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.features import LogMel
from wavcaps_training.models.spec_augment import spec_augment
from wavcaps_training.settings.encoders.htsat import HtsatSettings

OUTSIDE = -100.0  # added to the attention between tokens that are neighbours only by the cyclic shift


@dataclass(frozen=True)
class HtsatOutput:
    """The encoder's output for a batch of clips.

    Attributes:
        embedding: (batch, dim), the mean over time and frequency, for retrieval.
        step_embedding: (batch, steps, dim), the mean over frequency at each time step.
        step_logits: (batch, steps, classes), of the tagging head.
        frames_per_step: how many frames of the (stretched) log-mel one time step covers.
    """

    embedding: Tensor
    step_embedding: Tensor
    step_logits: Tensor
    frames_per_step: int

    @property
    def fine_grained_embedding(self) -> Tensor:
        """(batch, frames, dim): each time step's embedding for each of its frames; for captioning."""
        return self.step_embedding.repeat_interleave(self.frames_per_step, dim=1)

    @property
    def clipwise_output(self) -> Tensor:
        """(batch, classes): the probability of each class in the clip."""
        return self.step_logits.mean(dim=1).sigmoid()

    @property
    def framewise_output(self) -> Tensor:
        """(batch, frames, classes): the probability of each class in each frame."""
        return self.step_logits.sigmoid().repeat_interleave(self.frames_per_step, dim=1)


class Htsat(AudioNetwork):
    """The audio encoder. Takes waveforms, or log-mels from `audio_feats_extractor`."""

    settings: HtsatSettings
    audio_feats_extractor: LogMel

    def __init__(self, settings: HtsatSettings) -> None:
        super().__init__()
        self.settings = settings
        self.audio_feats_extractor = LogMel(settings.front_end)
        self.bn0 = nn.BatchNorm2d(settings.front_end.mel_bins)
        self.patch_embed = PatchEmbedding(settings.patch_size, settings.embed_dim)
        grid = settings.spec_size // settings.patch_size
        drop_paths = torch.linspace(0, settings.drop_path, sum(settings.depths)).tolist()
        stages = []
        for number, (depth, heads) in enumerate(zip(settings.depths, settings.heads, strict=True)):
            stages.append(
                Stage(
                    settings.embed_dim * 2**number,
                    grid >> number,
                    heads,
                    settings.window_size,
                    settings.mlp_ratio,
                    [drop_paths.pop(0) for _ in range(depth)],
                    merge=number < len(settings.depths) - 1,
                )
            )
        self.layers = nn.ModuleList(stages)
        dim = settings.embedding_dim
        self.norm = nn.LayerNorm(dim)
        bands = (grid >> (len(settings.depths) - 1)) // settings.chunks
        self.tscam_conv = nn.Conv2d(dim, settings.classes, kernel_size=(bands, 3), padding=(0, 1))
        self.head = nn.Linear(settings.classes, settings.classes)
        self.apply(initialise)

    def forward(self, waveform: Tensor) -> HtsatOutput:
        """Encodes waveforms.

        Args:
            waveform: (batch, samples) at the front end's sample rate, mono.

        Raises:
            ValueError: the clips are longer than the model takes.
        """
        return self.encode(self.audio_feats_extractor(waveform))

    def encode(self, log_mel: Tensor) -> HtsatOutput:
        """Encodes log-mels: (batch, 1, frames, mel bins), in dB."""
        image = self.fold(self.normalise(log_mel))
        tokens = self.patch_embed(image)
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = self.norm(tokens)
        grid = self.unfold(tokens)
        step_logits = self.tscam_conv(grid).squeeze(2).transpose(1, 2)
        return HtsatOutput(
            embedding=tokens.mean(dim=1),
            step_embedding=grid.mean(dim=2).transpose(1, 2),
            step_logits=step_logits,
            frames_per_step=self.settings.max_frames // grid.shape[3],
        )

    def normalise(self, log_mel: Tensor) -> Tensor:
        """Batch normalisation over each mel bin and, while training, SpecAugment. Keeps the shape."""
        normalised = self.bn0(log_mel.transpose(1, 3)).transpose(1, 3)
        return spec_augment(normalised, self.settings.spec_augment) if self.training else normalised

    def fold(self, log_mel: Tensor) -> Tensor:
        """Stretches to `max_frames` and stacks time chunks, low frequencies first, to a square image.

        Args:
            log_mel: (batch, 1, frames, mel bins).

        Returns:
            (batch, 1, spec_size, spec_size); row `chunk * mel_bins + bin`, column frame of the chunk.
        """
        batch, _, frames, bins = log_mel.shape
        wanted = self.settings.max_frames
        if frames > wanted:
            raise ValueError(f"the clips have {frames} frames, but this HTSAT takes at most {wanted}")
        if frames < wanted:
            log_mel = F.interpolate(log_mel, size=(wanted, bins), mode="bicubic", align_corners=True)
        size = self.settings.spec_size
        chunks = log_mel.reshape(batch, self.settings.chunks, size, bins)
        return chunks.transpose(2, 3).reshape(batch, 1, size, size)

    def unfold(self, tokens: Tensor) -> Tensor:
        """Undoes the stacking on the last grid: (batch, dim, frequency bands, time steps)."""
        batch, count, dim = tokens.shape
        side = int(count**0.5)
        chunks = self.settings.chunks
        grid = tokens.transpose(1, 2).reshape(batch, dim, chunks, side // chunks, side)
        return grid.transpose(2, 3).reshape(batch, dim, side // chunks, chunks * side)


class PatchEmbedding(nn.Module):
    """Cuts an image into patches; each becomes a token."""

    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=patch, stride=patch)
        self.norm = nn.LayerNorm(dim)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 1, size, size) to (batch, (size / patch)^2, dim), row by row."""
        return self.norm(self.proj(image).flatten(2).transpose(1, 2))


class Stage(nn.Module):
    """Swin blocks at one resolution, every second one shifted, and the merging to the next resolution."""

    def __init__(
        self,
        dim: int,
        grid: int,
        heads: int,
        window: int,
        mlp_ratio: int,
        drop_paths: list[float],
        merge: bool,
    ) -> None:
        super().__init__()
        # If one window is the whole grid, there is nothing to shift.
        shift = window // 2 if grid > window else 0
        self.blocks = nn.ModuleList(
            SwinBlock(dim, grid, heads, window, shift if number % 2 else 0, mlp_ratio, drop_path)
            for number, drop_path in enumerate(drop_paths)
        )
        self.downsample = PatchMerging(dim, grid) if merge else None

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, grid^2, dim) to the same, or where the stage merges to (batch, grid^2 / 4, 2 dim)."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens if self.downsample is None else self.downsample(tokens)


class SwinBlock(nn.Module):
    """Attention within windows, then an MLP, each on a residual path (https://arxiv.org/abs/2103.14030)."""

    attn_mask: Tensor | None

    def __init__(
        self, dim: int, grid: int, heads: int, window: int, shift: int, mlp_ratio: int, drop_path: float
    ) -> None:
        super().__init__()
        self.grid, self.window, self.shift = grid, window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, dim * mlp_ratio)
        self.register_buffer("attn_mask", shift_mask(grid, window, shift) if shift else None)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.drop_path(tokens, self.attend(self.norm1(tokens)))
        return self.drop_path(tokens, self.mlp(self.norm2(tokens)))

    def attend(self, tokens: Tensor) -> Tensor:
        batch, count, dim = tokens.shape
        image = tokens.view(batch, self.grid, self.grid, dim)
        if self.shift:
            image = image.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = self.attn(to_windows(image, self.window), self.attn_mask)
        image = from_windows(windows, self.window, self.grid)
        if self.shift:
            image = image.roll((self.shift, self.shift), dims=(1, 2))
        return image.reshape(batch, count, dim)


class WindowAttention(nn.Module):
    """Multi-head attention within a window, with a learned bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Attends.

        Args:
            windows: (batch, windows of a clip, tokens of a window, dim).
            mask: (windows of a clip, tokens, tokens), added to the attention; None: no mask.

        Returns:
            The shape of `windows`.
        """
        batch, count, tokens, dim = windows.shape
        qkv = self.qkv(windows).view(batch, count, tokens, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1).unsqueeze(0)
        if mask is not None:
            # The released mask is -100. exp(-100) is a subnormal number: a CPU multiplies with it about
            # fifteen times slower, and it is lost in any 32-bit sum.
            bias = bias.masked_fill(mask.unsqueeze(1) < 0, float("-inf"))
        attended = attend(query, key, value, bias)
        return self.proj(attended.transpose(2, 3).reshape(batch, count, tokens, dim))


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(width) + bias) v.

    On a CPU torch's fused kernel gives the bias no gradient, and for windows as small as these it is slower
    than separate products.

    Args:
        query, key, value: (batch, windows, heads, tokens, width).
        bias: (1 or windows, heads, tokens, tokens).

    Returns:
        The shape of `query`.
    """
    if not query.is_cpu:
        return fused_attention(query, key, value, bias)
    pairs = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return pairs.add_(bias).softmax(dim=-1) @ value


def fused_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """`attend` by torch's fused kernels.

    They take tensors of four dimensions, so windows and heads are folded into one. The bias is the same for
    every clip, and is not copied.
    """
    batch, windows, heads, tokens, width = query.shape
    folded = [tensor.reshape(batch, windows * heads, tokens, width) for tensor in (query, key, value)]
    mask = bias.expand(windows, -1, -1, -1).reshape(1, windows * heads, tokens, tokens).to(query.dtype)
    attended = F.scaled_dot_product_attention(folded[0], folded[1], folded[2], mask.expand(batch, -1, -1, -1))
    return attended.view(batch, windows, heads, tokens, width)


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


class DropPath(nn.Module):
    """Stochastic depth: while training, drops a residual path for some of the clips."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, tokens: Tensor, path: Tensor) -> Tensor:
        """Adds the path to the tokens, both (batch, tokens, dim), or drops it."""
        if not self.training or self.probability == 0:
            return tokens + path
        kept = 1 - self.probability
        mask = torch.rand(tokens.shape[0], 1, 1, device=tokens.device) < kept
        return torch.addcmul(tokens, path, mask / kept)


class PatchMerging(nn.Module):
    """Halves the grid and doubles the width: four neighbours become one token."""

    def __init__(self, dim: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, grid^2, dim) to (batch, grid^2 / 4, 2 dim)."""
        batch, _, dim = tokens.shape
        half = self.grid // 2
        neighbours = tokens.view(batch, half, 2, half, 2, dim).permute(0, 1, 3, 4, 2, 5)
        return self.reduction(self.norm(neighbours.reshape(batch, half * half, 4 * dim)))


def to_windows(image: Tensor, window: int) -> Tensor:
    """(batch, grid, grid, dim) to (batch, windows, window^2, dim), both row by row."""
    batch, grid, _, dim = image.shape
    side = grid // window
    windows = image.view(batch, side, window, side, window, dim).transpose(2, 3)
    return windows.reshape(batch, side * side, window * window, dim)


def from_windows(windows: Tensor, window: int, grid: int) -> Tensor:
    """The inverse of `to_windows`."""
    batch, _, _, dim = windows.shape
    side = grid // window
    image = windows.view(batch, side, side, window, window, dim).transpose(2, 3)
    return image.reshape(batch, grid, grid, dim)


def relative_positions(window: int) -> Tensor:
    """Row of the bias table for each pair of a window's tokens: (window^2, window^2)."""
    steps = torch.arange(window)
    rows, columns = (axis.flatten() for axis in torch.meshgrid(steps, steps, indexing="ij"))
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right


def shift_mask(grid: int, window: int, shift: int) -> Tensor:
    """What is added to the attention of a shifted grid: (windows, window^2, window^2).

    A window at the edge of the shifted grid contains tokens of opposite edges of the spectrogram. Between
    those the mask is `OUTSIDE`, elsewhere 0.
    """
    band = torch.zeros(grid, dtype=torch.long)
    band[-window:] = 1
    band[-shift:] = 2
    regions = band[:, None] * 3 + band[None, :]
    labels = to_windows(regions.view(1, grid, grid, 1), window)[0, :, :, 0]
    return torch.where(labels[:, :, None] != labels[:, None, :], OUTSIDE, 0.0)


def initialise(module: nn.Module) -> None:
    """Swin's initial weights."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
