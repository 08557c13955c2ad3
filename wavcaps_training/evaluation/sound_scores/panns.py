"""PANNs' CNN14 at 16 kHz (Kong et al., 2019, https://arxiv.org/abs/1912.10211): features and classes.

They are what FD, KL and IS of Table VIII are computed from. It is not the CNN14 of the WavCaps models
(`models.cnn14`): its last block is not pooled, and a layer follows the pooling over time.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from wavcaps_training.checkpoints.checkpoint import load_weights
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError, read_pickle
from wavcaps_training.models.cnn14 import ConvBlock
from wavcaps_training.models.features import LogMel
from wavcaps_training.settings.encoder import FrontEndSettings

FILE = "Cnn14_16k_mAP=0.438.pth"
SOURCE = "https://zenodo.org/records/3987831"
SAMPLE_RATE = 16_000
FRONT_END = FrontEndSettings(
    sample_rate=SAMPLE_RATE, window=512, hop=160, mel_bins=64, f_min=50.0, f_max=8000.0
)
CHANNELS = (64, 128, 256, 512, 1024, 2048)
# Of AudioSet.
CLASSES = 527
# The stored kernels of the front end, which is computed by an FFT here.
FRONT_END_KEYS = ("spectrogram_extractor.", "logmel_extractor.")


class Panns(nn.Module):
    """The network. Gives the feature and the logits of a clip."""

    def __init__(self) -> None:
        super().__init__()
        self.log_mel = LogMel(FRONT_END)
        self.bn0 = nn.BatchNorm2d(FRONT_END.mel_bins)
        width = 1
        for number, channels in enumerate(CHANNELS, start=1):
            pool = 1 if number == len(CHANNELS) else 2
            self.add_module(f"conv_block{number}", ConvBlock(width, channels, pool))
            width = channels
        self.fc1 = nn.Linear(width, width)
        self.fc_audioset = nn.Linear(width, CLASSES)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """The features, (batch, 2048), and the logits, (batch, 527), of waveforms (batch, samples) at 16 kHz.

        The logits are those before the sigmoid.
        """
        image = self.bn0(self.log_mel(waveform).transpose(1, 3)).transpose(1, 3)
        for number in range(1, len(CHANNELS) + 1):
            image = self.get_submodule(f"conv_block{number}")(image)
        steps = image.mean(dim=3)
        feature = self.fc1(steps.amax(dim=2) + steps.mean(dim=2)).relu()
        return feature, self.fc_audioset(feature)


def load_panns(folder: Path, device: str = "cpu") -> Panns:
    """Reads the network from the folder of metric files. No code of the file is run.

    Raises:
        ReleasedCheckpointError: the file is missing or damaged.
        CheckpointError: it is of another network; names every key that does not fit.
    """
    path = folder / FILE
    content = read_pickle(path).get("model")
    if not isinstance(content, dict):
        raise ReleasedCheckpointError(f"{path} is not PANNs' CNN14: it has no `model`; download it again")
    weights = {
        name: value
        for name, value in content.items()
        if isinstance(value, Tensor) and not name.startswith(FRONT_END_KEYS)
    }
    model = Panns()
    load_weights(model, weights, str(path))
    return model.eval().to(torch.device(device))
