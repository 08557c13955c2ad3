"""Automated audio captioning: a model's captions compared with those that people wrote (Table VI).

The measures are BLEU-1 to BLEU-4, ROUGE-L, METEOR and CIDEr-D, computed by `caption_metrics`. The paper's
SPICE and SPIDEr are missing: SPICE needs a parser in Java whose models are in no Python package. METEOR is
the version of 2005, and not the tuned version 1.5 of Table VI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from wavcaps_assets.caption_metrics.scores import Scores, score
from wavcaps_training.data import AudioFiles, Clip, batch_loader, unreadable_clips
from wavcaps_training.models.captioner import Captioner
from wavcaps_training.models.text import clean_caption
from wavcaps_training.settings.captioner import CaptionerTrainingSettings


@dataclass(frozen=True)
class CaptionedClip:
    """A model's caption of one clip, and the references.

    Attributes:
        clip_id: the clip's id.
        written: the model's caption.
        references: captions by people, at least one.
    """

    clip_id: str
    written: str
    references: tuple[str, ...]


class CaptionedClips:
    """Clips with their captions, gathered batch by batch.

    A clip with several references occurs once for each of them, in one batch or in several.
    """

    def __init__(self) -> None:
        self.written: dict[str, str] = {}
        self.references: dict[str, list[str]] = {}

    def add_references(self, clip_ids: Sequence[str], captions: Sequence[str]) -> list[int]:
        """Adds a batch's references.

        Returns:
            The rows of the batch that have no caption yet, each of another clip.
        """
        wanted: dict[str, int] = {}
        for row, (clip_id, caption) in enumerate(zip(clip_ids, captions, strict=True)):
            self.references.setdefault(clip_id, []).append(caption)
            if clip_id not in self.written:
                wanted.setdefault(clip_id, row)
        return list(wanted.values())

    def add_captions(self, clip_ids: Sequence[str], captions: Sequence[str]) -> None:
        """Adds the model's captions of clips."""
        self.written.update(zip(clip_ids, captions, strict=True))

    def clips(self) -> list[CaptionedClip]:
        """All clips, by their ids."""
        return [
            CaptionedClip(clip_id, self.written[clip_id], tuple(self.references[clip_id]))
            for clip_id in sorted(self.written)
        ]


def score_captions(clips: Sequence[CaptionedClip]) -> Scores:
    """Scores captions: CIDEr-D from 0 to 10, the others from 0 to 1 (the paper's tables are times 100).

    As in the released code, references are cleaned like the captions that a model learns from. CIDEr-D
    weights words by how rare they are among these clips, so it depends on the set, and is 0 for one clip.

    Raises:
        ValueError: there are no clips, or one has no reference.
    """
    return score(
        [clip.written for clip in clips],
        [[clean_caption(reference) for reference in clip.references] for clip in clips],
    )


def write_captions(
    model: Captioner, clips: Sequence[Clip], audio: AudioFiles, settings: CaptionerTrainingSettings
) -> list[CaptionedClip]:
    """Generates a caption for each clip, in the clips' order; each clip is read once.

    Clips whose audio cannot be read are left out, with a warning.

    Args:
        model: in evaluation mode, on the device to use.
        clips: such as the test split.
        audio: where their audio is.
        settings: how clips are cropped and padded, and how many go into a batch.

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    device = next(model.parameters()).device
    once = [replace(clip, captions=clip.captions[:1]) for clip in clips]
    written: dict[str, str] = {}
    unreadable = unreadable_clips(clips, settings)
    with torch.no_grad():
        for batch in batch_loader(once, audio, settings, unreadable=unreadable):
            captions = model.generate(model.log_mel(batch.audio.to(device)))
            written.update(zip(batch.clip_ids, captions, strict=True))
    unreadable.warn()
    return [
        CaptionedClip(clip.clip_id, written[clip.clip_id], clip.captions)
        for clip in clips
        if clip.clip_id in written
    ]
