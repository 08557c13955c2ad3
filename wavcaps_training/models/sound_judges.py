"""The networks that generated sound is scored by: VGGish (FAD), and CNN14 for 16 kHz (FD, IS, KL)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from wavcaps_training.models.cnn14 import ConvBlock, convolve
from wavcaps_training.models.features import LogMel
from wavcaps_training.settings.encoder import FrontEndSettings

SAMPLE_RATE = 16_000
CLASSES = 527
CNN14_FRONT_END = FrontEndSettings(
    sample_rate=SAMPLE_RATE, window=512, hop=160, mel_bins=64, f_min=50.0, f_max=8000.0
)


class Cnn14At16k(nn.Module):
    """PANNs' CNN14 for 16 kHz (https://zenodo.org/records/3987831); names are those of its weights."""

    def __init__(self, channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)) -> None:
        super().__init__()
        self.log_mel = LogMel(CNN14_FRONT_END)
        self.bn0 = nn.BatchNorm2d(CNN14_FRONT_END.mel_bins)
        width = 1
        for number, size in enumerate(channels, start=1):
            self.add_module(f"conv_block{number}", ConvBlock(width, size))
            width = size
        self.fc1 = nn.Linear(width, width)
        self.fc_audioset = nn.Linear(width, CLASSES)
        self.blocks = len(channels)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Features, (batch, 2048), and logits of AudioSet's classes, (batch, 527), of (batch, samples)."""
        image = self.bn0(self.log_mel(waveform).transpose(1, 3)).transpose(1, 3)
        for number in range(1, self.blocks + 1):
            block = self.get_submodule(f"conv_block{number}")
            assert isinstance(block, ConvBlock)
            if number < self.blocks:
                image = block(image)
            else:
                # The last block is not pooled.
                image = convolve(convolve(image, block.conv1, block.bn1), block.conv2, block.bn2)
        steps = image.mean(dim=3)
        features = self.fc1(steps.amax(dim=2) + steps.mean(dim=2)).relu()
        return features, self.fc_audioset(features)


class VggishFrontEnd(nn.Module):
    """Log-mels of 0.96 s: 25 ms windows each 10 ms, 64 bins from 125 to 7500 Hz on the scale of HTK."""

    filters: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filter_bank(
            num_frequency_bins=257,
            num_mel_filters=64,
            min_frequency=125.0,
            max_frequency=7500.0,
            sampling_rate=SAMPLE_RATE,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32), persistent=False)
        self.register_buffer("window", torch.hann_window(400), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(samples,) to (examples, 1, 96, 64)."""
        frames = waveform.unfold(0, 400, 160) * self.window
        mel = (torch.fft.rfft(frames, 512).abs() @ self.filters + 0.01).log()
        whole = len(mel) // 96
        return mel[: whole * 96].view(whole, 1, 96, 64)


class Vggish(nn.Module):
    """VGGish (https://github.com/harritaylor/torchvggish) without its last ReLU and without PCA."""

    def __init__(self) -> None:
        super().__init__()
        self.front_end = VggishFrontEnd()
        layers: list[nn.Module] = []
        width = 1
        for size in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool"):
            if isinstance(size, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(width, size, 3, padding=1), nn.ReLU()]
                width = size
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 4 * 6, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128)
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """(samples,), of at least a second, to (examples, 128)."""
        image = self.features(self.front_end(waveform))
        return self.embeddings(image.permute(0, 2, 3, 1).flatten(1))
