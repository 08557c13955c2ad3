"""aisfx: a small CNN that was trained to recognise sound effects, from several libraries at once.

A. B. Ma and A. Lerch: "Representation Learning for the Automatic Indexing of Sound Effects Libraries", ISMIR
2022, https://zenodo.org/records/7316800. Its weights are in the package `aisfx`, under CC BY 4.0. Nothing of
the package's code is used: this is the network and the front end that the paper and the package describe.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.cnn14 import convolve
from wavcaps_training.settings.encoder import FrontEndSettings
from wavcaps_training.settings.encoders.aisfx import AisfxSettings

PACKAGE = "aisfx"
WEIGHTS = Path("models") / "checkpoint.pth"
PREFIX = "embedding_net."
CHANNELS = (64, 128, 256, 512)
# The largest value of the spectrograms that it was trained on, by which they were divided.
LARGEST = 9.457798957824707
COMPRESSION = 10_000.0
# Blocks at a time, so that a long clip needs no more memory than a short one.
BLOCKS_AT_A_TIME = 16


class PretrainedWeightsError(OSError):
    """The weights of a pretrained audio encoder are not installed, or are not the expected ones."""


@dataclass(frozen=True)
class AisfxOutput:
    """The encoder's output for a batch of clips.

    Attributes:
        embedding: (batch, 512), for retrieval.
        fine_grained_embedding: (batch, blocks, 512), for captioning. Blocks without sound are zeros.
    """

    embedding: Tensor
    fine_grained_embedding: Tensor


class Aisfx(AudioNetwork):
    """The audio encoder. Takes waveforms, or spectrograms from `audio_feats_extractor`. It is frozen."""

    settings: AisfxSettings

    def __init__(self, settings: AisfxSettings) -> None:
        super().__init__()
        self.settings = settings
        self.audio_feats_extractor = CompressedMel(settings.front_end)
        width = 1
        for number, channels in enumerate(CHANNELS, start=1):
            self.add_module(f"conv_block{number}", ConvBlock(width, channels))
            width = channels
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def forward(self, waveform: Tensor) -> AisfxOutput:
        """Encodes waveforms: (batch, samples) at 44.1 kHz, mono."""
        return self.encode(self.audio_feats_extractor(waveform))

    @torch.no_grad()
    def encode(self, log_mel: Tensor) -> AisfxOutput:
        """Encodes spectrograms of `audio_feats_extractor`: (batch, 1, frames, mel bins).

        The last block is filled with zeros. Blocks without sound do not count, so the zeros after a clip that
        is shorter than its batch change nothing.
        """
        settings = self.settings
        blocks = cut_blocks(log_mel[:, 0], settings.block, settings.block_hop)
        heard = blocks.flatten(2).any(dim=2)
        # In a clip without any sound, its first block counts.
        heard[:, 0] |= ~heard.any(dim=1)
        vectors = log_mel.new_zeros(*heard.shape, settings.embedding_dim)
        sounding = blocks[heard]
        vectors[heard] = torch.cat([self.encode_blocks(some) for some in sounding.split(BLOCKS_AT_A_TIME)])
        if settings.pooling == "max":
            pooled = vectors.masked_fill(~heard.unsqueeze(2), -math.inf).amax(dim=1)
        else:
            pooled = vectors.sum(dim=1) / heard.sum(dim=1, keepdim=True)
        return AisfxOutput(pooled, vectors)

    def encode_blocks(self, blocks: Tensor) -> Tensor:
        """(blocks, frames, mel bins) to (blocks, 512): the mean over frequency, the maximum over time."""
        image = blocks.unsqueeze(1)
        for number in range(1, len(CHANNELS) + 1):
            image = self.get_submodule(f"conv_block{number}")(image)
            if number < len(CHANNELS):
                image = F.max_pool2d(image, 2)
        return image.mean(dim=3).amax(dim=2)

    def load_pretrained(self) -> None:
        """Fills the network with the weights of the package.

        Raises:
            PretrainedWeightsError: the package is not installed, or its weights are other ones.
        """
        stored = read_weights(weights_path(), self.settings.weights_sha256)
        own = {name.removeprefix(PREFIX): value for name, value in stored.items() if name.startswith(PREFIX)}
        self.load_state_dict(own)


class ConvBlock(nn.Module):
    """Two convolutions, each normalised and rectified; names are those of the package's weights."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, channels, kernel_size=3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, width, frames, bins) to (batch, channels, frames, bins)."""
        return convolve(convolve(image, self.conv1, self.bn1), self.conv2, self.bn2)


class CompressedMel(nn.Module):
    """The front end: mel power, compressed by a logarithm, and scaled to about [0, 1]. Silence is exactly 0.

    The spectrum is that of centred frames with zeros beyond both ends, and of a symmetric Hann window. The
    mel filters are triangles on HTK's scale, each of which sums to 1.
    """

    window: Tensor
    mel_filters: Tensor

    def __init__(self, settings: FrontEndSettings) -> None:
        super().__init__()
        self.settings = settings
        window = torch.hann_window(settings.window, periodic=False)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("mel_filters", mel_filters(settings), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in [-1, 1] to (batch, 1, samples // hop + 2, mel bins), in 32 bits."""
        # The last frame starts before the end of the sound, as in the original front end.
        waveform = F.pad(waveform, (0, self.settings.hop))
        # Clip by clip on a CPU: the spectra of one clip stay in its cache, and those of a batch do not.
        pieces = waveform.split(1) if waveform.is_cpu else (waveform,)
        with torch.autocast(waveform.device.type, enabled=False):
            mel = torch.cat([self.mel_power(piece.float()) for piece in pieces])
            return (torch.log10(1 + COMPRESSION * mel) / LARGEST).unsqueeze(1)

    def mel_power(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, frames, mel bins): the power in each."""
        spectrum = torch.stft(
            waveform,
            n_fft=self.settings.window,
            hop_length=self.settings.hop,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return spectrum.abs().square().transpose(1, 2) @ self.mel_filters


def cut_blocks(frames: Tensor, length: int, hop: int) -> Tensor:
    """Blocks of a spectrogram, the last filled with zeros.

    Args:
        frames: (batch, frames, bins).
        length: frames of a block.
        hop: distance between blocks (frames).

    Returns:
        (batch, blocks, length, bins).
    """
    count = max(math.ceil((frames.shape[1] - length) / hop), 0) + 1
    missing = (count - 1) * hop + length - frames.shape[1]
    return F.pad(frames, (0, 0, 0, max(missing, 0))).unfold(1, length, hop).transpose(2, 3)


def mel_filters(settings: FrontEndSettings) -> Tensor:
    """Triangles on HTK's mel scale, each of which sums to 1: (frequencies, mel bins)."""
    frequencies = torch.linspace(0, settings.sample_rate / 2, settings.window // 2 + 1, dtype=torch.float64)
    mels = htk_mel(frequencies)
    low, high = htk_mel(torch.tensor([settings.f_min, settings.f_max], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, settings.mel_bins + 2, dtype=torch.float64)
    rising = (mels[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels[:, None]) / (edges[2:] - edges[1:-1])
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles / triangles.sum(dim=0)).float()


def htk_mel(frequencies: Tensor) -> Tensor:
    """Hz to mel, by HTK's formula."""
    return 1127 * torch.log1p(frequencies / 700)


def weights_path() -> Path:
    """The file of weights in the installed package.

    Raises:
        PretrainedWeightsError: it is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PretrainedWeightsError(
            f"the audio encoder aisfx has its weights in the package {PACKAGE!r}, which is not installed: "
            "install the extra `training`, or choose another audio encoder (model.audio.encoder)"
        )
    return Path(spec.submodule_search_locations[0]) / WEIGHTS


def read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors in the package's file, which has this SHA-256. No code in it is run.

    Raises:
        PretrainedWeightsError: the file is missing, or is not the expected one.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PretrainedWeightsError(
            f"cannot read {path}: {error.strerror}; install {PACKAGE} again"
        ) from error
    if found != sha256:
        raise PretrainedWeightsError(
            f"{path} is not the expected file of weights: its SHA-256 is {found} instead of {sha256}; "
            f"install {PACKAGE} 0.1.2 again"
        )
    # Beside the weights are the counts of the classes, as NumPy scalars. They are not made.
    beside: list[Any] = [
        (Beside, "numpy.core.multiarray.scalar"),
        (Beside, "numpy.dtype"),
        (Beside, "_codecs.encode"),
    ]
    with torch.serialization.safe_globals(beside):
        weights, _ = torch.load(path, map_location="cpu", weights_only=True)
    return dict(weights)


class Beside:
    """Stands for an object beside the weights, which is not needed."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass
