"""FAD, FD, IS and KL: scores through networks whose weights are in no package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wavcaps_training.checkpoints.sound_judges import (
    CNN14_FILE,
    CNN14_SOURCE,
    VGGISH_FILE,
    VGGISH_SOURCE,
    load_cnn14_at_16k,
    load_vggish,
)
from wavcaps_training.evaluation.generation_scores import frechet_distance, inception_score, kl_divergence
from wavcaps_training.models.sound_judges import SAMPLE_RATE

VARIABLE = "WAVCAPS_METRIC_FILES"
VGGISH, CNN14 = "VGGish", "CNN14 for 16 kHz"
FILES = {VGGISH: (VGGISH_FILE, VGGISH_SOURCE), CNN14: (CNN14_FILE, CNN14_SOURCE)}
JUDGED_BY = {"FAD": VGGISH, "FD": CNN14, "IS": CNN14, "KL": CNN14}
# As audioldm_eval reads files.
SHORTEST_S = 2.0
Waveforms = Sequence[np.ndarray]


@dataclass(frozen=True)
class NetworkScore:
    """A score, or why it was not measured.

    Attributes:
        value: the score; None: not measured.
        note: why not.
    """

    value: float | None
    note: str = ""


def not_measured(network: str, folder: Path | None) -> str:
    """Why a network's scores are not measured; empty: its weights are there."""
    name, source = FILES[network]
    if folder is not None and (folder / name).is_file():
        return ""
    where = f"{folder} has no {name}" if folder is not None else f"{VARIABLE} names no folder"
    return f"not measured: {where}; get {name} from {source}, and put it into the folder of {VARIABLE}"


def network_scores(
    generated: Waveforms, real: Waveforms, folder: Path | None, device: str
) -> Mapping[str, NetworkScore]:
    """FAD, FD, IS and KL, by their names in Table VIII.

    Args:
        generated: sounds at 16 kHz, (samples,) each.
        real: the clips with the same texts, in the same order.
        folder: of the networks' weights; None: none is named.
        device: `cpu` or `cuda`.

    Raises:
        ReleasedCheckpointError: a file of weights is damaged, or of another network.
    """
    scores = {name: NetworkScore(None, not_measured(network, folder)) for name, network in JUDGED_BY.items()}
    if folder is not None and not scores["FAD"].note:
        found, target = (_vggish(sounds, folder, device) for sounds in (generated, real))
        scores["FAD"] = NetworkScore(frechet_distance(found, target))
    if folder is not None and not scores["FD"].note:
        (found, logits), (target, wanted) = (_cnn14(sounds, folder, device) for sounds in (generated, real))
        scores["FD"] = NetworkScore(frechet_distance(found, target))
        scores["IS"] = NetworkScore(inception_score(logits))
        scores["KL"] = NetworkScore(kl_divergence(logits, wanted))
    return scores


@torch.no_grad()
def _vggish(sounds: Waveforms, folder: Path, device: str) -> np.ndarray:
    model = load_vggish(folder).to(device)
    parts = [model(prepared(sound).to(device)).cpu().numpy() for sound in sounds]
    return np.concatenate(parts)


@torch.no_grad()
def _cnn14(sounds: Waveforms, folder: Path, device: str) -> tuple[np.ndarray, np.ndarray]:
    model = load_cnn14_at_16k(folder).to(device)
    both = [model(prepared(sound).to(device).unsqueeze(0)) for sound in sounds]
    features, logits = (torch.cat([pair[place] for pair in both]).cpu().numpy() for place in range(2))
    return features, logits


def prepared(sound: np.ndarray) -> torch.Tensor:
    """A sound as audioldm_eval reads it: without offset, and at least two seconds long."""
    waveform = torch.from_numpy(np.asarray(sound, np.float32))
    waveform = waveform - waveform.mean()
    missing = round(SHORTEST_S * SAMPLE_RATE) - len(waveform)
    return torch.nn.functional.pad(waveform, (0, missing)) if missing > 0 else waveform
