"""VGGish (Hershey et al., 2017, https://arxiv.org/abs/1609.09430): embeddings for the Fréchet audio distance.

Layers are named as in the file of torchvggish (https://github.com/harritaylor/torchvggish), which converted
the original weights. As in the evaluation that the paper used, neither the last ReLU nor the PCA of the
embeddings is applied.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from wavcaps_training.checkpoints.checkpoint import load_weights
from wavcaps_training.checkpoints.safe_files import read_pickle

FILE = "vggish-10086976.pth"
SOURCE = "https://github.com/harritaylor/torchvggish/releases/tag/v0.1"
SAMPLE_RATE = 16_000
# Samples: 25 ms and 10 ms. An example is 0.96 s.
WINDOW, HOP, FFT = 400, 160, 512
MEL_BINS, F_MIN, F_MAX = 64, 125.0, 7500.0
FRAMES = 96
OFFSET = 0.01
# Channels of the convolutions; 0: a pooling that halves both axes.
LAYERS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)


class Vggish(nn.Module):
    """The network. Embeds each 0.96 s."""

    window: Tensor
    mel_filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*_convolutions())
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 4 * 6, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128)
        )
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer(
            "mel_filters", torch.tensor(mel_filters(), dtype=torch.float32), persistent=False
        )

    def log_mel(self, waveform: Tensor) -> Tensor:
        """The examples of a clip: (examples, 96 frames, 64 bins). The end that fills no example is left out.

        Args:
            waveform: (samples,) at 16 kHz, in [-1, 1], at least 15,600 samples.
        """
        frames = waveform.unfold(0, WINDOW, HOP) * self.window
        magnitude = torch.fft.rfft(frames, n=FFT).abs()
        log_mel = torch.log(magnitude @ self.mel_filters + OFFSET)
        whole = len(log_mel) // FRAMES
        return log_mel[: whole * FRAMES].unflatten(0, (whole, FRAMES))

    def forward(self, waveform: Tensor) -> Tensor:
        """(samples,) to (examples, 128)."""
        image = self.features(self.log_mel(waveform).unsqueeze(1))
        # The original is channels last.
        embedded: Tensor = self.embeddings(image.permute(0, 2, 3, 1).flatten(1))
        return embedded


def mel_filters() -> np.ndarray:
    """Triangles on the mel scale 1127 ln(1 + f / 700), straight in mel: (257 bins of the FFT, 64)."""
    filters: np.ndarray = mel_filter_bank(
        num_frequency_bins=FFT // 2 + 1,
        num_mel_filters=MEL_BINS,
        min_frequency=F_MIN,
        max_frequency=F_MAX,
        sampling_rate=SAMPLE_RATE,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return filters


def _convolutions() -> list[nn.Module]:
    layers: list[nn.Module] = []
    width = 1
    for channels in LAYERS:
        if channels:
            layers += [nn.Conv2d(width, channels, kernel_size=3, padding=1), nn.ReLU()]
            width = channels
        else:
            layers.append(nn.MaxPool2d(2))
    return layers


def load_vggish(folder: Path, device: str = "cpu") -> Vggish:
    """Reads the network from the folder of metric files. No code of the file is run.

    Raises:
        ReleasedCheckpointError: the file is missing or damaged.
        CheckpointError: it is of another network; names every key that does not fit.
    """
    path = folder / FILE
    weights = {name: value for name, value in read_pickle(path).items() if isinstance(value, Tensor)}
    model = Vggish()
    load_weights(model, weights, str(path))
    return model.eval().to(torch.device(device))
