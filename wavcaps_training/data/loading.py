"""Batches of clips with their audio, read by `loader_workers` processes.

A clip whose audio cannot be read does not end a run. In training, another clip takes its place, so that all
batches, and all processes' shares of them, keep their size. An evaluation leaves it out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wavcaps_training.data.audio_files import AudioFiles, AudioReadError, StoreUnreachable
from wavcaps_training.data.chance import chance
from wavcaps_training.data.clips import Clip, Example, examples_of
from wavcaps_training.data.crops import read_crop
from wavcaps_training.data.plan import plan_epoch
from wavcaps_training.data.unreadable import UnreadableClips
from wavcaps_training.settings.training import CaptionChoice, RunSettings

MOST_READING_PROCESSES = 8


@dataclass
class Batch:
    """Some examples.

    Attributes:
        clip_ids: the ids of their clips.
        captions: their captions.
        audio: waveforms (batch, samples); (batch, 1, frames, mel bins) where log-mels are cached; (batch, 1,
            width) where the features of a pretrained encoder are.
        unreadable: what is wrong with the clips that were left out of it, by clip id.
    """

    clip_ids: list[str]
    captions: list[str]
    audio: Tensor
    unreadable: dict[str, str] = field(default_factory=dict)

    def pin_memory(self) -> Batch:
        """The same in page-locked memory, from which a GPU copies while it computes. torch calls it."""
        return replace(self, audio=self.audio.pin_memory())


@dataclass(frozen=True)
class Read:
    """Examples with their audio, and what is wrong with clips that could not be read, by clip id."""

    examples: list[tuple[Example, Tensor]]
    unreadable: dict[str, str]


@dataclass(frozen=True)
class EpochShare:
    """Which batches of training to read, and which share of each.

    Attributes:
        epoch: counts from 0.
        first_batch: how many of the epoch's batches to skip, because the run has trained on them.
        rank: the number of this process among those that share each batch.
        world_size: how many processes share each batch.
    """

    epoch: int = 0
    first_batch: int = 0
    rank: int = 0
    world_size: int = 1


class AudioCache(Protocol):
    """What is known of clips' audio, in place of their waveforms."""

    def read(self, clip: Clip, waveform: Callable[[], Tensor]) -> Tensor:
        """What is known of a clip; `waveform` reads its audio."""


class FeatureCache:
    """Features of a pretrained audio encoder, which were computed before. What is not there is unreadable.

    Args:
        features: (width,) of each clip, by clip id.
    """

    def __init__(self, features: Mapping[str, Tensor]) -> None:
        self.features = features

    def read(self, clip: Clip, waveform: Callable[[], Tensor]) -> Tensor:
        """(1, width) of a clip.

        Raises:
            AudioReadError: as reading its audio does.
        """
        if clip.clip_id not in self.features:
            waveform()
            raise AudioReadError(
                f"clip {clip.clip_id}: its audio could not be read when its features were made"
            )
        return self.features[clip.clip_id].unsqueeze(0)


class LogMelCache:
    """Log-mels of clips that were read before, kept in the memory of this process."""

    def __init__(self, front_end: Callable[[Tensor], Tensor]) -> None:
        self.front_end = front_end
        self.log_mels: dict[str, Tensor] = {}

    def read(self, clip: Clip, waveform: Callable[[], Tensor]) -> Tensor:
        """(1, frames, mel bins) of a clip; its waveform is read if it was not read before."""
        if clip.clip_id not in self.log_mels:
            with torch.no_grad():
                self.log_mels[clip.clip_id] = self.front_end(waveform().unsqueeze(0)).squeeze(0)
        return self.log_mels[clip.clip_id]


class ExampleDataset(Dataset[tuple[Example, Tensor]]):
    """Examples with their audio: the waveform, or the log-mel if there is a cache.

    Args:
        epoch: selects the random crops; None: the crops of evaluation.
        most_unreadable: how many clips may be unreadable.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        audio: AudioFiles,
        settings: RunSettings,
        epoch: int | None,
        cache: AudioCache | None,
        most_unreadable: int = 0,
    ) -> None:
        self.examples = examples
        self.audio = audio
        self.settings = settings
        self.epoch = epoch
        self.cache = cache
        self.most_unreadable = most_unreadable

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> tuple[Example, Tensor]:
        example = self.examples[place]
        if self.cache is None:
            return example, self._waveform(example)
        return example, self.cache.read(example.clip, lambda: self._waveform(example))

    def __getitems__(self, places: list[int]) -> Read:
        """A batch. In training, the next examples of the list replace those that cannot be read."""
        read = Read([], {})
        for place in places:
            self._read(place, read)
        if self.epoch is not None:
            used = {self.examples[place].clip.clip_id for place in places}
            for place in self._after(places[-1]):
                if len(read.examples) == len(places) or len(read.unreadable) > self.most_unreadable:
                    break
                clip_id = self.examples[place].clip.clip_id
                if clip_id not in used:
                    used.add(clip_id)
                    self._read(place, read)
        return read

    def _after(self, place: int) -> Iterator[int]:
        yield from range(place + 1, len(self.examples))
        yield from range(place)

    def _read(self, place: int, read: Read) -> None:
        clip_id = self.examples[place].clip.clip_id
        if clip_id in read.unreadable:
            return
        try:
            read.examples.append(self[place])
        except StoreUnreachable:
            raise
        except AudioReadError as error:
            read.unreadable[clip_id] = str(error)

    def _waveform(self, example: Example) -> Tensor:
        settings, clip = self.settings, example.clip
        position = settings.clip.evaluation_position
        if example.position is not None:
            position = example.position
        elif self.epoch is not None:
            # A cached clip has one crop, whichever epoch or caption reads it first.
            drawn_for = (self.epoch, example.number) if self.cache is None else (0, 0)
            position = chance(settings.seed, drawn_for[0], clip.clip_id, drawn_for[1], "crop")
        rate = settings.front_end.sample_rate
        return torch.from_numpy(read_crop(clip, self.audio, settings.clip, rate, position))


class BatchLoader(DataLoader[Batch]):
    """Counts the clips that cannot be read, and leaves out batches without a clip."""

    def __init__(self, unreadable: UnreadableClips, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.unreadable = unreadable

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            self.unreadable.add(batch.unreadable)
            if batch.clip_ids:
                yield batch


def batch_loader(
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: RunSettings,
    share: EpochShare | None = None,
    cache: AudioCache | None = None,
    unreadable: UnreadableClips | None = None,
) -> BatchLoader:
    """Batches of an epoch of training, or of an evaluation.

    An epoch of training is shuffled and cropped at random, both determined by the settings' seed and the
    epoch. An evaluation goes through all captions of all clips in their order.

    Args:
        clips: the clips of a split.
        audio: where their audio is.
        settings: of the run.
        share: which batches of training; None: evaluation.
        cache: log-mels or features in place of waveforms; the processes of `loader_workers` do not fill it.
        unreadable: gets the clips that are left out because they cannot be read; None: none may be.

    Raises:
        AudioReadError: while iterating: more clips cannot be read than may be left out, or the store cannot.
    """
    if unreadable is None:
        unreadable = UnreadableClips("clips", len(clips), 0)
    if share is None:
        examples = examples_of(clips, CaptionChoice.ALL, settings.seed, 0)
        return example_loader(examples, audio, settings, unreadable, cache)
    examples = examples_of(clips, settings.captions, settings.seed, share.epoch)
    planned = plan_epoch(examples, settings, share.epoch, training=True)
    batches = [_share_of(batch, share) for batch in planned[share.first_batch :]]
    dataset = ExampleDataset(examples, audio, settings, share.epoch, cache, unreadable.most)
    return _loader(dataset, batches, unreadable, share.world_size)


def example_loader(
    examples: Sequence[Example],
    audio: AudioFiles,
    settings: RunSettings,
    unreadable: UnreadableClips,
    cache: AudioCache | None = None,
) -> BatchLoader:
    """Batches of examples in their order, for an evaluation; the arguments are those of `batch_loader`."""
    batches = plan_epoch(examples, settings, 0, training=False)
    return _loader(
        ExampleDataset(examples, audio, settings, None, cache, unreadable.most), batches, unreadable
    )


def _loader(
    dataset: ExampleDataset, batches: list[list[int]], unreadable: UnreadableClips, processes: int = 1
) -> BatchLoader:
    settings = dataset.settings
    # A process that trains or evaluates on a GPU has used it before it makes a loader.
    on_gpu = torch.cuda.is_initialized()
    cores = len(os.sched_getaffinity(0)) // processes if on_gpu and dataset.cache is None else 0
    return BatchLoader(
        unreadable,
        dataset,
        batch_sampler=batches,
        num_workers=reading_processes(settings, cores, len(batches)),
        pin_memory=on_gpu,
        collate_fn=partial(collate, min_samples=settings.audio_encoder.min_samples),
    )


def reading_processes(settings: RunSettings, cores: int, batches: int) -> int:
    """How many processes read audio.

    Args:
        settings: of the run.
        cores: those that may read audio while a GPU computes.
        batches: how many are read; for one alone, no process is started.
    """
    if settings.loader_workers is not None:
        return settings.loader_workers
    return max(min(cores, MOST_READING_PROCESSES, batches - 1), 0)


def _share_of(batch: list[int], share: EpochShare) -> list[int]:
    size, rank, world_size = len(batch), share.rank, share.world_size
    return batch[size * rank // world_size : size * (rank + 1) // world_size]


def unreadable_clips(clips: Sequence[Clip], settings: RunSettings, what: str = "clips") -> UnreadableClips:
    """For those of some clips that cannot be read: the settings' share of them may be left out."""
    return UnreadableClips(what, len(clips), settings.max_unreadable_share)


def collate(read: Read, min_samples: int) -> Batch:
    """Makes a batch of what `ExampleDataset` has read, padded with zeros to the longest clip."""
    sounds = [audio for _, audio in read.examples]
    if sounds and sounds[0].ndim == 1:
        longest = max(min_samples, *(len(sound) for sound in sounds))
        sounds = [
            sound if len(sound) == longest else torch.nn.functional.pad(sound, (0, longest - len(sound)))
            for sound in sounds
        ]
    return Batch(
        [example.clip.clip_id for example, _ in read.examples],
        [example.caption for example, _ in read.examples],
        torch.stack(sounds) if sounds else torch.zeros(0),
        read.unreadable,
    )
