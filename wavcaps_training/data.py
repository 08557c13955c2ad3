"""Clips for training and evaluation: rows of the training manifest, and their audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile
import torch
from torch import Tensor
from torch.utils.data import Dataset

from wavcaps_training.features import LogMel
from wavcaps_training.settings import ClipSettings, Padding


class AudioReadError(OSError):
    """A clip's audio is missing, unreadable or not what the manifest promises."""


@dataclass(frozen=True)
class Clip:
    """One row of `schemas.TRAINING_MANIFEST`, as far as a model needs it.

    Attributes:
        clip_id: the clip's id.
        caption: its caption.
        audio_path: its FLAC file, relative to the folder of all audio.
    """

    clip_id: str
    caption: str
    audio_path: str


def clips_of(manifest: pa.Table, split: str) -> list[Clip]:
    """The clips of one split (`train`, `validation` or `test`), in the manifest's order.

    Args:
        manifest: a table of `schemas.TRAINING_MANIFEST`.
        split: the split's name.
    """
    rows = manifest.filter(pc.equal(manifest["split"], split)).select(["clip_id", "caption", "audio_path"])
    return [Clip(**row) for row in rows.to_pylist()]


def read_waveform(
    clip: Clip, audio_root: Path, settings: ClipSettings, sample_rate: int, position: float
) -> np.ndarray:
    """Reads one crop of a clip, and no more of its file than that.

    Args:
        clip: the clip.
        audio_root: the folder that `audio_path` is relative to.
        settings: how long the crop is, and how a shorter clip is padded.
        sample_rate: what the audio must have (Hz).
        position: where the crop lies in a longer clip: 0 at its start, 1 at its end.

    Returns:
        (samples,) float32 in [-1, 1], `settings.seconds` long.

    Raises:
        AudioReadError: names the clip and its file.
    """
    path = audio_root / clip.audio_path
    wanted = round(settings.seconds * sample_rate)
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != sample_rate or file.channels != 1:
                raise AudioReadError(
                    f"clip {clip.clip_id}: {path} has {file.samplerate} Hz and {file.channels} channels, "
                    f"where the model takes {sample_rate} Hz mono; materialize its audio again"
                )
            file.seek(round(max(file.frames - wanted, 0) * position))
            samples: np.ndarray = file.read(wanted, dtype="float32")
    except soundfile.LibsndfileError as error:
        problem = "is unreadable" if path.is_file() else "is missing"
        raise AudioReadError(
            f"clip {clip.clip_id}: {path} {problem} ({error.error_string}); materialize its audio again"
        ) from error
    if not len(samples):
        raise AudioReadError(f"clip {clip.clip_id}: {path} holds no samples; materialize its audio again")
    if settings.padding is Padding.REPEAT:
        return np.resize(samples, wanted)
    return np.pad(samples, (0, wanted - len(samples)))


@dataclass
class Batch:
    """Some clips.

    Attributes:
        clip_ids: their ids.
        captions: their captions.
        audio: (batch, samples), or (batch, 1, frames, mel bins) from a dataset that caches log-mels.
    """

    clip_ids: list[str]
    captions: list[str]
    audio: Tensor


class ClipDataset(Dataset[tuple[Clip, Tensor]]):
    """Clips with their audio: the waveform, or the log-mel where a front end is given.

    With a front end, a clip is read once and its log-mel kept in memory.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        audio_root: Path,
        settings: ClipSettings,
        sample_rate: int,
        *,
        random_crops: bool,
        front_end: LogMel | None = None,
    ) -> None:
        self.clips = clips
        self.audio_root = audio_root
        self.settings = settings
        self.sample_rate = sample_rate
        self.random_crops = random_crops
        self.front_end = front_end
        self.log_mels: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Clip, Tensor]:
        if self.front_end is None:
            return self.clips[index], self.waveform(index)
        if index not in self.log_mels:
            with torch.no_grad():
                self.log_mels[index] = self.front_end(self.waveform(index).unsqueeze(0)).squeeze(0)
        return self.clips[index], self.log_mels[index]

    def waveform(self, index: int) -> Tensor:
        position = float(torch.rand(())) if self.random_crops else self.settings.evaluation_position
        clip = self.clips[index]
        return torch.from_numpy(
            read_waveform(clip, self.audio_root, self.settings, self.sample_rate, position)
        )


def collate(examples: Sequence[tuple[Clip, Tensor]]) -> Batch:
    """Makes a batch of what a `ClipDataset` gives."""
    return Batch(
        [clip.clip_id for clip, _ in examples],
        [clip.caption for clip, _ in examples],
        torch.stack([audio for _, audio in examples]),
    )
