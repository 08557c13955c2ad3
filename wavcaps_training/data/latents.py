"""The file of a training set's latents: what a latent diffusion model learns from, computed once.

A safetensors file has, for each clip, the mean and the standard deviation of its latent and the unit vector
of its audio; for each caption, the unit vector of the text; and that of the empty text. Rows are read as they
are needed, so the file may be larger than the memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wavcaps_training.data.audio_files import AudioReadError
from wavcaps_training.data.clips import Clip
from wavcaps_training.settings.generation import GenerationTrainingSettings

ABOUT = "wavcaps_latents"
MEAN, DEVIATION, AUDIO, TEXT, NO_TEXT = "mean", "deviation", "audio", "text", "no_text"


class LatentsError(ValueError):
    """A file of latents is damaged, not of this model, or cannot be written; says what to do."""


@dataclass(frozen=True)
class MadeBy:
    """What latents were made by.

    Attributes:
        autoencoder: a hash of the autoencoder's weights.
        conditioned_by: a hash of the weights of the retrieval model, whose vectors are the conditions.
    """

    autoencoder: str
    conditioned_by: str


@dataclass(frozen=True)
class GenerationInputs:
    """The files that the training of a latent diffusion model reads.

    Attributes:
        autoencoder: the checkpoint of its autoencoder.
        latents: a file of latents.
    """

    autoencoder: Path
    latents: Path

    def named_in(self, settings: GenerationTrainingSettings) -> GenerationTrainingSettings:
        """Settings that name what the latents were made by and of, so that a run with others is another run.

        Raises:
            LatentsError: the latents cannot be read.
        """
        latents = LatentFile(self.latents)
        model = settings.model.model_copy(
            update={
                "autoencoder_sha256": latents.made_by.autoencoder,
                "conditioned_by_sha256": latents.made_by.conditioned_by,
                "latents_of_sha256": latents.of_sha256,
            }
        )
        return settings.model_copy(update={"model": model})


class LatentFile:
    """A file of latents.

    Args:
        path: the file.

    Attributes:
        shape: (channels, frames, bins) of a latent.
        width: of a condition.
        clips: the row of each clip, by its id.
        captions: the row of each caption.

    Raises:
        LatentsError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = safe_open(path, framework="pt")
            about = json.loads((self._file.metadata() or {})[ABOUT])
            self.shape: tuple[int, ...] = tuple(self._file.get_slice(MEAN).get_shape()[1:])
            self.width = int(self._file.get_slice(NO_TEXT).get_shape()[0])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise LatentsError(
                f"the latents {path} cannot be read ({error}): materialize the asset of the latents again"
            ) from error
        self.made_by = MadeBy(**about["made_by"])
        self.clips: Mapping[str, int] = {clip_id: row for row, clip_id in enumerate(about["clips"])}
        self.captions: Mapping[str, int] = {caption: row for row, caption in enumerate(about["captions"])}

    @property
    def of_sha256(self) -> str:
        """A hash of the ids and captions of the clips."""
        of = [sorted(self.clips), sorted(self.captions)]
        return hashlib.sha256(json.dumps(of).encode()).hexdigest()

    def moments(self, clip_id: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a clip's latent: both (channels, frames, bins)."""
        row = self.clips[clip_id]
        return self._row(MEAN, row), self._row(DEVIATION, row)

    def audio(self, clip_id: str) -> Tensor:
        """The unit vector of a clip's audio: (width,)."""
        return self._row(AUDIO, self.clips[clip_id])

    def texts(self) -> dict[str, Tensor]:
        """The unit vector of each caption, (width,)."""
        vectors = self._file.get_tensor(TEXT)
        return {caption: vectors[row] for caption, row in self.captions.items()}

    @property
    def no_text(self) -> Tensor:
        """The unit vector of the empty text: (width,)."""
        tensor: Tensor = self._file.get_tensor(NO_TEXT)
        return tensor

    def _row(self, name: str, row: int) -> Tensor:
        tensor: Tensor = self._file.get_slice(name)[row : row + 1][0]
        return tensor


class LatentCache:
    """Latents and audio vectors of clips in place of their waveforms, as `AudioCache` asks for."""

    def __init__(self, file: LatentFile) -> None:
        self.file = file

    def read(self, clip: Clip, waveform: Callable[[], Tensor]) -> Tensor:
        """(1, numbers) of a clip: mean and deviation of its latent, and the vector of its audio.

        Raises:
            AudioReadError: the file does not have the clip.
        """
        if clip.clip_id not in self.file.clips:
            raise AudioReadError(
                f"clip {clip.clip_id}: there is no latent of it, because its audio could not be read when "
                "they were made; materialize the asset of the latents again"
            )
        mean, deviation = self.file.moments(clip.clip_id)
        return torch.cat([mean.flatten(), deviation.flatten(), self.file.audio(clip.clip_id)]).unsqueeze(0)


def unpacked(cached: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """What `LatentCache` packed.

    Args:
        cached: (batch, 1, numbers).
        shape: (channels, frames, bins) of a latent.

    Returns:
        Mean and deviation, both (batch, channels, frames, bins), and audio vectors (batch, width).
    """
    flat = cached[:, 0]
    size = torch.Size(shape).numel()
    mean, deviation = (part.unflatten(1, tuple(shape)) for part in flat[:, : 2 * size].chunk(2, dim=1))
    return mean, deviation, flat[:, 2 * size :]


class Moments:
    """Means and standard deviations of latents on disk, while they are computed: memory would not hold all.

    Args:
        folder: for two files, which the caller removes.
        most: how many clips there may be.
        shape: (channels, frames, bins) of a latent.

    Attributes:
        clips: the ids of those that were added, in their order.

    Raises:
        LatentsError: the disk has no space for them.
    """

    def __init__(self, folder: Path, most: int, shape: tuple[int, ...]) -> None:
        self.clips: list[str] = []
        numbers = most * torch.Size(shape).numel()
        self._mean, self._deviation = (
            torch.from_file(str(_of_size(folder / name, 4 * numbers)), shared=True, size=numbers).view(
                most, *shape
            )
            for name in (MEAN, DEVIATION)
        )

    def add(self, clip_ids: Sequence[str], mean: Tensor, deviation: Tensor) -> None:
        """Adds clips; both tensors are (clips, channels, frames, bins).

        Raises:
            LatentsError: a latent is not finite.
        """
        finite = (mean.isfinite() & deviation.isfinite()).flatten(1).all(1).tolist()
        if broken := [clip_id for clip_id, good in zip(clip_ids, finite, strict=True) if not good]:
            raise LatentsError(
                f"the latents of {', '.join(broken)} are not finite: train the autoencoder again, with a "
                "lower learning rate"
            )
        rows = slice(len(self.clips), len(self.clips) + len(clip_ids))
        self._mean[rows], self._deviation[rows] = mean, deviation
        self.clips += clip_ids

    def tensors(self) -> dict[str, Tensor]:
        """`MEAN` and `DEVIATION` of the clips, which are read from the disk."""
        return {MEAN: self._mean[: len(self.clips)], DEVIATION: self._deviation[: len(self.clips)]}


def _of_size(path: Path, size: int) -> Path:
    """A new file whose space on the disk is there: to write to one without, through memory, ends the process.

    Raises:
        LatentsError: the disk is full.
    """
    try:
        with path.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise LatentsError(
            f"latents that are computed need a file of {size / 1e9:.1f} GB in {path.parent}, which cannot be "
            f"made ({error.strerror}): free some space, or set TMPDIR to a folder on another disk"
        ) from error
    return path


def write_latents(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes a file of latents.

    Args:
        path: the file.
        tensors: `MEAN`, `DEVIATION`, `AUDIO`, `TEXT` and `NO_TEXT`.
        about: `clips`, `captions` and `made_by`, whose fields are those of `MadeBy`.

    Raises:
        LatentsError: the disk is full; there is no file then.
    """
    try:
        save_file(dict(tensors), path, metadata={ABOUT: json.dumps(dict(about))})
    except SafetensorError as error:
        path.unlink(missing_ok=True)
        raise LatentsError(
            f"the latents {path} cannot be written ({error}): free some space, or set "
            "TMPDIR to a folder on another disk"
        ) from error
