"""What the networks of the scores find in sounds: embeddings, features and classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torchaudio.functional
from torch import Tensor, nn

from wavcaps_training.checkpoints.checkpoint import CheckpointError
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.evaluation.sound_scores import panns, vggish
from wavcaps_training.evaluation.sound_scores.arithmetic import ScoreError

VARIABLE = "WAVCAPS_METRIC_FILES"
SAMPLE_RATE = vggish.SAMPLE_RATE
# Shorter sounds are padded with silence (s).
SHORTEST_S = 2.0

Network = TypeVar("Network", bound=nn.Module)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sound:
    """A sound to score.

    Attributes:
        clip_id: of the clip that it is, or that it was generated from the caption of.
        samples: (samples,) or (samples, channels), in [-1, 1].
        sample_rate: Hz.
    """

    clip_id: str
    samples: np.ndarray
    sample_rate: int

    def waveform(self) -> Tensor:
        """(samples,): the first channel without its mean, at 16 kHz, at least 2 s long.

        Raises:
            ScoreError: there is no sample, or one is not finite.
        """
        first = torch.as_tensor(self.samples, dtype=torch.float32)
        first = first if first.ndim == 1 else first[:, 0]
        if not len(first) or not torch.isfinite(first).all():
            raise ScoreError(f"the sound of clip {self.clip_id} is empty, or has samples that are not finite")
        resampled = torchaudio.functional.resample(first - first.mean(), self.sample_rate, SAMPLE_RATE)
        lacking = int(SHORTEST_S * SAMPLE_RATE) - len(resampled)
        return torch.nn.functional.pad(resampled, (0, max(lacking, 0)))


@dataclass(frozen=True)
class Heard:
    """What was found in a set of sounds, by `clip_id`. Of a network that is not there, nothing.

    Attributes:
        examples: VGGish's embeddings: (examples, 128) each.
        features: of PANNs: (2048,) each.
        logits: of PANNs: (527,) each.
    """

    examples: dict[str, np.ndarray] = field(default_factory=dict)
    features: dict[str, np.ndarray] = field(default_factory=dict)
    logits: dict[str, np.ndarray] = field(default_factory=dict)

    def only(self, clip_ids: Collection[str]) -> Heard:
        """The part of these clips, in their order."""
        return Heard(
            *(
                {clip_id: of_network[clip_id] for clip_id in clip_ids if clip_id in of_network}
                for of_network in (self.examples, self.features, self.logits)
            )
        )


class Listeners:
    """The networks in the folder of metric files.

    Args:
        folder: of the setting WAVCAPS_METRIC_FILES; None: not set.
        device: `cpu` or `cuda`.

    Attributes:
        vggish_note: why VGGish's scores are not measured; empty: they are.
        panns_note: why those of PANNs are not.
    """

    def __init__(self, folder: Path | None, device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._vggish, self.vggish_note = _read(vggish.load_vggish, folder, vggish.FILE, vggish.SOURCE)
        self._panns, self.panns_note = _read(panns.load_panns, folder, panns.FILE, panns.SOURCE)
        for network in (self._vggish, self._panns):
            if network is not None:
                network.to(self._device)

    @torch.no_grad()
    def hear(self, sounds: Iterable[Sound]) -> Heard:
        """Listens to sounds, one at a time.

        Raises:
            ScoreError: a sound is empty, or has samples that are not finite.
        """
        heard = Heard()
        for sound in sounds:
            waveform = sound.waveform().to(self._device)
            if self._vggish is not None:
                heard.examples[sound.clip_id] = self._vggish(waveform).cpu().numpy()
            if self._panns is not None:
                feature, logits = self._panns(waveform[None])
                heard.features[sound.clip_id] = feature[0].cpu().numpy()
                heard.logits[sound.clip_id] = logits[0].cpu().numpy()
        return heard


def _read(
    load: Callable[[Path], Network], folder: Path | None, file: str, source: str
) -> tuple[Network | None, str]:
    if folder is None or not (folder / file).is_file():
        where = f"the folder {folder} has no" if folder else f"{VARIABLE} names no folder with"
        return None, f"not measured: {where} {file}, from {source}"
    try:
        return load(folder), ""
    except (CheckpointError, ReleasedCheckpointError) as error:
        logger.warning("%s is not used: %s", file, error)
        return None, f"not measured: {error}"
