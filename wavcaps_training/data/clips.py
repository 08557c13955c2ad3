"""Clips and their captions, from the training manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_training.data.chance import chance
from wavcaps_training.settings.training import CaptionChoice


@dataclass(frozen=True)
class Clip:
    """What a model needs of a row of `tables.TRAINING_MANIFEST`.

    Attributes:
        clip_id: the clip's id.
        captions: its captions, at least one.
        audio_path: its audio file, relative to the store.
        duration_s: its duration (s), which determines its bucket.
        recording: the group of clips that share a recording; empty: it is alone.
    """

    clip_id: str
    captions: tuple[str, ...]
    audio_path: str
    duration_s: float
    recording: str = ""


@dataclass(frozen=True)
class Example:
    """A clip with one of its captions: what a model learns from.

    Attributes:
        clip: the clip.
        number: the number of the caption, from 0.
        position: where a longer clip is cropped: 0 at its start, 1 at its end; None: as the settings say.
    """

    clip: Clip
    number: int
    position: float | None = None

    @property
    def caption(self) -> str:
        return self.clip.captions[self.number]


def clips_of(manifest: pa.Table, split: str) -> list[Clip]:
    """The clips of one split (`train`, `validation` or `test`), in the manifest's order.

    Args:
        manifest: a table of `tables.TRAINING_MANIFEST`.
        split: the split's name.
    """
    columns = ["clip_id", "caption", "other_captions", "audio_path", "duration_s", "recording"]
    rows = manifest.filter(pc.equal(manifest["split"], split)).select(columns)
    return [
        Clip(
            row["clip_id"],
            (row["caption"], *row["other_captions"]),
            row["audio_path"],
            row["duration_s"],
            row["recording"],
        )
        for row in rows.to_pylist()
    ]


def examples_of(clips: Sequence[Clip], choice: CaptionChoice, seed: int, epoch: int) -> list[Example]:
    """The examples of an epoch, in the clips' order.

    Args:
        choice: all captions of a clip, or one that seed, epoch and clip determine.
        epoch: counts from 0.
    """
    if choice is CaptionChoice.ALL:
        return [Example(clip, number) for clip in clips for number in range(len(clip.captions))]
    return [
        Example(clip, int(chance(seed, epoch, clip.clip_id, "caption") * len(clip.captions)))
        for clip in clips
    ]
