"""The weights of the networks that generated sound is scored by, from a named folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from wavcaps_training.checkpoints.released import misfits
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError, read_pickle
from wavcaps_training.models.sound_judges import Cnn14At16k, Vggish

VGGISH_FILE = "vggish-10086976.pth"
VGGISH_SOURCE = "https://github.com/harritaylor/torchvggish/releases"
CNN14_FILE = "Cnn14_16k_mAP=0.438.pth"
CNN14_SOURCE = "https://zenodo.org/records/3987831"
# The constants of torchlibrosa's front end, which we compute.
CONSTANTS = ("spectrogram_extractor.", "logmel_extractor.")
Judge = TypeVar("Judge", bound=nn.Module)


def load_vggish(folder: Path) -> Vggish:
    """VGGish with its released weights.

    Raises:
        ReleasedCheckpointError: the file is missing, damaged or of another network.
    """
    return _filled(Vggish(), folder / VGGISH_FILE, read_pickle(folder / VGGISH_FILE))


def load_cnn14_at_16k(folder: Path) -> Cnn14At16k:
    """PANNs' CNN14 for 16 kHz with its released weights.

    Raises:
        ReleasedCheckpointError: the file is missing, damaged or of another network.
    """
    content = read_pickle(folder / CNN14_FILE)
    stored = content.get("model", content)
    weights = {name: value for name, value in stored.items() if not str(name).startswith(CONSTANTS)}
    return _filled(Cnn14At16k(), folder / CNN14_FILE, weights)


def _filled(model: Judge, path: Path, weights: Mapping[Any, Any]) -> Judge:
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()):
        raise ReleasedCheckpointError(f"{path} does not hold weights only; download it again")
    problems = misfits(weights, model.state_dict())
    found = "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in problems.items() if names)
    if found:
        raise ReleasedCheckpointError(f"{path} is of another network: {found}; download it again")
    model.load_state_dict(dict(weights))
    return model.eval()
