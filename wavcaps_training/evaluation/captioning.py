"""Captions of the validation split, compared with those that people wrote after each epoch of a training.

The measures are those of `caption_metrics`, which need no Java. METEOR is the version of 2005, whose values
are others than those of version 1.5 in the paper's tables. The scores of a checkpoint are those of
`evaluation.caption_scores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavcaps_assets.caption_metrics.scores import Scores, score
from wavcaps_training.models.text import clean_caption


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


def compare_captions(clips: Sequence[CaptionedClip]) -> Scores:
    """Scores captions of a validation split: CIDEr-D from 0 to 10, the others from 0 to 1.

    As in the released code, references are cleaned like the captions that a model learns from. CIDEr-D
    weights words by how rare they are among these clips, so it depends on the set, and is 0 for one clip.

    Raises:
        ValueError: there are no clips, or one has no reference.
    """
    return score(
        [clip.written for clip in clips],
        [[clean_caption(reference) for reference in clip.references] for clip in clips],
    )
